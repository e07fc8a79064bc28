"""Whose curves are drawn of a cohort, and how long its patients are followed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.page.curves import Curves, curves_of
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.schema import Endpoint, EventRule

DEATH = "death"


def incidence_curves(cohort: Cohort, endpoint: Endpoint, landmark_day: float, rng: np.random.Generator) -> Curves:
    """The curves of an endpoint from one of its landmarks.

    Raises:
        SequelaError: Nobody is at risk at the landmark.
    """
    _, outcomes = outcomes_at(cohort, endpoint, landmark_day)
    return curves_of(endpoint.name, landmark_day, outcomes, rng)


def endpoints_or_events(cohort: Cohort, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints given; without any, each event against death, most frequent first."""
    if endpoints:
        return tuple(endpoints)
    patients = cohort.events.groupby("event")["patient_id"].nunique()
    names = [str(name) for name in patients.sort_values(ascending=False, kind="stable").index]
    death = (EventRule(name=DEATH),) if DEATH in names else ()
    last = max(float(cohort.patients["follow_up_days"].max()), 1.0)
    return tuple(
        Endpoint(name=name, event=EventRule(name=name), competing=() if name == DEATH else death, horizons_days=(last,))
        for name in names
    )


def all_curves(
    cohort: Cohort, endpoints: Sequence[Endpoint], rng: np.random.Generator
) -> tuple[list[Curves], dict[str, str]]:
    """The curves of each endpoint from each of its landmarks, and why others have none."""
    curves, absent = [], {}
    for endpoint in endpoints:
        for day in endpoint.landmark_days:
            try:
                curves.append(incidence_curves(cohort, endpoint, day, rng))
            except SequelaError as error:
                absent[f"{endpoint.name} from day {day:g}"] = str(error)
    return curves, absent


def follow_up_outcomes(cohort: Cohort) -> Outcomes | None:
    """Time to the end of follow-up, with death as cause 1 and the last contact as censoring; None without patients."""
    days = cohort.patients["follow_up_days"].to_numpy(dtype=float)
    deaths = cohort.events[cohort.events["event"] == DEATH].groupby("patient_id")["day"].min()
    died = deaths.reindex(cohort.patients["patient_id"]).to_numpy(dtype=float)
    cause = np.where(died <= days, 1, 0).astype(np.int64)
    days = np.where(cause == 1, died, days)
    entry = np.zeros(len(days))
    if "entry_day" in cohort.patients:
        entry = np.clip(cohort.patients["entry_day"].fillna(0.0).to_numpy(dtype=float), 0.0, None)
    kept = days > entry
    if not kept.any():
        return None
    return Outcomes(days[kept], cause[kept], (DEATH,), entry[kept] if entry[kept].any() else None)
