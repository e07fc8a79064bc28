"""Whose markers are screened for what: patients at risk at a landmark, strata, the clinic, arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.covariates import Covariates, covariates_of
from experiments.groups import check_variable, codes_of, group_names, labels_of, places_of
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import IntArray
from features.schema import Endpoint
from training.biomarkers.effect import stratum_of_arms
from training.effects.arms import Arms

FEWEST_PATIENTS = 10
"""In whom a marker was measured, below which nothing is tested."""
FEWEST_EVENTS = 5
"""Of a cause among them, likewise."""
FEWEST_PER_COLUMN = 5
"""Events of the cause for each column adjusted for (Vittinghoff & McCulloch, Am J Epidemiol 2007;165:710)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    cohort: Cohort
    endpoint: Endpoint
    landmark_day: float
    rows: IntArray
    """Positions of the patients at risk in ``cohort.patients``."""
    outcomes: Outcomes
    centre: str | None
    stratum: IntArray | None
    """(patients,): of centre and arm together; None: all are compared."""
    clinic: Covariates | None
    """What markers must tell something beyond."""
    by: str | None
    """The treatment whose arms a marker may act differently in."""
    arms: Arms | None
    n_left_out: int
    """Patients at risk whose arm is not known."""

    @property
    def screened_causes(self) -> list[int]:
        """Causes with at least `FEWEST_EVENTS` events, the event of interest first."""
        counts = np.bincount(self.outcomes.cause, minlength=len(self.outcomes.causes) + 1)
        return [k for k in range(1, len(counts)) if counts[k] >= FEWEST_EVENTS]


def ask(
    cohort: Cohort,
    endpoint: Endpoint,
    *,
    landmark_day: float | None = None,
    adjust: Sequence[str] = (),
    centre: str | None = None,
    by: str | None = None,
) -> Question:
    """Take the patients at risk at a landmark.

    Args:
        cohort: The cohort.
        endpoint: What happens, and what competes with it.
        landmark_day: Markers are what is known by this day; None: the endpoint's first landmark.
        adjust: Variables known already: the clinic.
        centre: The variable within whose values patients are compared.
        by: The treatment, whose interaction with every marker is tested.

    Raises:
        SequelaError: What is asked makes no sense, or cannot be answered with these patients.
    """
    for option, name in (("--centre", centre), ("--by", by), *(("--adjust", one) for one in adjust)):
        check_variable(cohort, option, name)
    if by is not None and by in (centre, *adjust):
        msg = f"--by {by}: is also named by --centre or --adjust; arms have baseline hazards of their own already"
        raise SequelaError(msg)
    day = endpoint.landmark_days[0] if landmark_day is None else landmark_day
    rows, outcomes = outcomes_at(cohort, endpoint, day)
    at_risk = len(rows)
    names: tuple[str, ...] = ()
    if by is not None:
        label = labels_of(cohort, by)
        names = group_names(cohort, by, label[rows], None)
        known = np.flatnonzero(np.isin(label[rows], names))
        rows, outcomes = rows[known], outcomes.take(known)
    _require_events(outcomes, endpoint, day)
    of_centre = None if centre is None else codes_of(cohort, centre)[rows]
    arms = None if by is None else Arms(outcomes, places_of(labels_of(cohort, by)[rows], names), names, of_centre)
    stratum = of_centre if arms is None else stratum_of_arms(arms)
    clinic = _clinic(cohort, adjust, rows, outcomes)
    return Question(
        cohort, endpoint, day, rows, outcomes, centre, stratum, clinic, by, arms, n_left_out=at_risk - len(rows)
    )


def _require_events(outcomes: Outcomes, endpoint: Endpoint, day: float) -> None:
    n = int((outcomes.cause == 1).sum())
    if len(outcomes) < FEWEST_PATIENTS or n < FEWEST_EVENTS:
        msg = (
            f"endpoint {endpoint.name}: after day {day:g} there are {n} events {endpoint.event.name} in "
            f"{len(outcomes)} patients; a screen needs {FEWEST_EVENTS} in {FEWEST_PATIENTS}. Choose an earlier "
            "--landmark or a more frequent event"
        )
        raise SequelaError(msg)


def _clinic(cohort: Cohort, adjust: Sequence[str], rows: IntArray, outcomes: Outcomes) -> Covariates | None:
    if not adjust:
        return None
    found = covariates_of(cohort, tuple(dict.fromkeys(adjust)), rows)
    named = ",".join(adjust)
    if not found.columns:
        msg = f"--adjust {named}: does not vary among these patients; name variables that do"
        raise SequelaError(msg)
    n, needed = int((outcomes.cause == 1).sum()), FEWEST_PER_COLUMN * len(found.columns)
    if n < needed:
        msg = (
            f"--adjust {named}: makes {len(found.columns)} columns, which need {needed} events "
            f"({FEWEST_PER_COLUMN} a column), and there are {n}; adjust for fewer variables"
        )
        raise SequelaError(msg)
    return found
