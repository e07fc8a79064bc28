"""Predictions of a ledger with what became of the patients, by model version and time of prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from pydantic import ValidationError

from experiments.windows import Length, first_day
from features.check import read_cohort
from features.cohort import first_event
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray, TextArray
from features.schema import Endpoint
from serving.ledger import KEY, OUTCOMES, PREDICTIONS, Happened, Predicted
from serving.pseudonyms import Pseudonyms

Line = TypeVar("Line", Predicted, Happened)


@dataclass(frozen=True, slots=True)
class Known:
    """What became of patients."""

    follow_up_days: Mapping[str, float]
    """By pseudonym: days since infusion to which the course is known."""
    events: pd.DataFrame
    """patient_id (the pseudonym), event, day, grade."""
    entry_days: Mapping[str, float] = field(default_factory=dict)
    """By pseudonym: days since infusion from which the course is known, where it is not from the beginning."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Predictions of one model version in a stretch of time, and what happened.

    Of each patient the first landmark of the stretch: later ones are of those alone to whom nothing happened before.
    """

    model: str
    first: date
    """First day of the stretch, UTC."""
    shadow: bool
    """Whether it stood in the shadow, and nobody was told what it said."""
    endpoint: Endpoint
    n_predicted: int
    """Patients with a prediction at all horizons of the endpoint, whether their course is known or not."""
    patient: TextArray
    """(rows,): pseudonyms of those whose course is known and who were at risk."""
    landmark_day: FloatArray
    """(rows,)."""
    incidence: FloatArray
    """(rows, causes, horizons)."""
    outcomes: Outcomes
    """Of the rows, from their landmarks."""

    def take(self, rows: IntArray) -> Followed:
        """Some of the rows."""
        return replace(
            self,
            patient=self.patient[rows],
            landmark_day=self.landmark_day[rows],
            incidence=self.incidence[rows],
            outcomes=self.outcomes.take(rows),
        )


def outcomes_of(ledger: Path, cohort: Path | None = None) -> Known:
    """What was told to services, or stands in a cohort folder.

    Args:
        ledger: Its folder.
        cohort: Folder with patients.csv and events.csv, whose ids are those of the requests; None: what was told.

    Raises:
        SequelaError: A file cannot be read.
    """
    if cohort is not None:
        return _of_cohort(ledger, cohort)
    latest: dict[str, Happened] = {}
    for one in sorted(_lines(ledger / OUTCOMES, Happened), key=lambda told: told.at):
        latest[one.patient] = one
    events = [(patient, event.event, event.day, event.grade) for patient, one in latest.items() for event in one.events]
    return Known({patient: one.follow_up_days for patient, one in latest.items()}, _table(events))


def _of_cohort(ledger: Path, folder: Path) -> Known:
    cohort = read_cohort(folder)
    try:
        pseudonyms = Pseudonyms(ledger / KEY)
    except OSError as error:
        msg = f"{ledger / KEY}: cannot be read ({error.strerror}); name the ledger of the service"
        raise SequelaError(msg) from error
    days = zip(cohort.patients["patient_id"], cohort.patients["follow_up_days"], strict=True)
    events = cohort.events.assign(patient_id=[pseudonyms.of(str(one)) for one in cohort.events["patient_id"]])
    entries = {}
    if "entry_day" in cohort.patients:
        late = cohort.patients.dropna(subset=["entry_day"])
        entries = dict(zip(map(pseudonyms.of, late["patient_id"]), late["entry_day"].astype(float), strict=True))
    return Known({pseudonyms.of(str(patient)): float(day) for patient, day in days}, events, entries)


def unread(known: Known, endpoints: Iterable[Endpoint]) -> list[str]:
    """Names of events that look like one of an endpoint's, and are none.

    Raises:
        SequelaError: An event of which an endpoint asks a grade has none: whether it counts, cannot be known.
    """
    rules = {rule.name: rule for one in endpoints for rule in (one.event, *one.competing)}
    for rule in rules.values():
        ungraded = (known.events["event"] == rule.name) & known.events["grade"].isna()
        if rule.min_grade is not None and ungraded.any():
            msg = (
                f"{int(ungraded.sum())} events {rule.name} have no grade, and the endpoint counts those of grade "
                f"{rule.min_grade} or more; tell their patients' outcomes again, with grades"
            )
            raise SequelaError(msg)
    others = sorted(set(known.events["event"]) - set(rules))
    return [name for name in others if get_close_matches(name, rules, n=1, cutoff=0.75)]


def _table(events: Sequence[tuple[str, str, float, int | None]]) -> pd.DataFrame:
    table = pd.DataFrame(events, columns=["patient_id", "event", "day", "grade"])
    return table.astype({"day": float, "grade": float})


def followed_in(
    predicted: Iterable[Predicted], known: Known, endpoints: Mapping[str, Endpoint], length: Length
) -> list[Followed]:
    """Predictions with what happened, by model version and time.

    Args:
        predicted: Of a ledger.
        known: What became of patients.
        endpoints: Of the model versions; predictions of others, and at other horizons, are left out.
        length: Of a stretch.
    """
    groups: dict[tuple[str, date, bool], dict[str, Predicted]] = {}
    for one in sorted(predicted, key=lambda line: line.at):
        endpoint = endpoints.get(one.model)
        if endpoint is not None and set(endpoint.horizons_days) <= set(one.horizons_days):
            key = (one.model, first_day(one.at.date(), length), one.shadow)
            of_patient = groups.setdefault(key, {})
            before = of_patient.get(one.patient)
            if before is None or one.landmark_day <= before.landmark_day:  # from the same day the later one is better
                of_patient[one.patient] = one
    return [
        _followed(key, endpoints[key[0]], list(of_patient.values()), known)
        for key, of_patient in sorted(groups.items())
    ]


def predictions_in(ledger: Path) -> list[Predicted]:
    """All predictions of a ledger.

    Raises:
        SequelaError: There are none, or a file cannot be read.
    """
    found = list(_lines(ledger / PREDICTIONS, Predicted))
    if not found:
        msg = f"{ledger}: holds no predictions; `sequela serve --ledger {ledger}` keeps them there"
        raise SequelaError(msg)
    return found


def _followed(
    key: tuple[str, date, bool], endpoint: Endpoint, predicted: Sequence[Predicted], known: Known
) -> Followed:
    with_course = [one for one in predicted if one.patient in known.follow_up_days]
    patient = np.array([one.patient for one in with_course], dtype=object)
    landmark = np.array([one.landmark_day for one in with_course], dtype=float)
    incidence = np.array([_at(one, endpoint) for one in with_course], dtype=float)
    follow_up = np.array([known.follow_up_days[one] for one in patient], dtype=float)
    day, cause = first_event(known.events, endpoint, pd.Index(patient))
    cause = np.where(day <= follow_up, cause, 0)
    duration = np.minimum(day, follow_up) - landmark
    entry = np.array([known.entry_days.get(one, -np.inf) for one in patient], dtype=float)
    at_risk = np.flatnonzero((duration > 0) & (entry <= landmark))
    shape = (len(with_course), len(endpoint.causes), len(endpoint.horizons_days))
    everyone = Outcomes(duration, cause, endpoint.causes)
    values = incidence.reshape(shape)
    return Followed(*key, endpoint, len(predicted), patient, landmark, values, everyone).take(at_risk)


def _at(one: Predicted, endpoint: Endpoint) -> list[list[float]]:
    """(causes, horizons) of the endpoint."""
    places = [one.horizons_days.index(day) for day in endpoint.horizons_days]
    return [[one.incidence[cause][place] for place in places] for cause in endpoint.causes]


def _lines(folder: Path, kind: type[Line]) -> Iterator[Line]:
    """Lines of all files; what a kill cut off stands at the end of one, without an end of its own."""
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                msg = f"{path}, line {number}: is no line as a service writes it; take it out"
                raise SequelaError(msg) from error
