"""Estimates behind the curves: incidence by cause with its band, numbers at risk, and median follow-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.cohort_report.privacy import SMALLEST
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray
from features.schema import Endpoint, EventRule
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.models.nonparametric import aalen_johansen, censoring_survival, steps_at

RESAMPLES = 400
DEATH = "death"
_TICKS_DAYS = (1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1461, 1826, 3652)


@dataclass(frozen=True, slots=True)
class Curves:
    """Cumulative incidence of every cause of an endpoint from one landmark."""

    endpoint: str
    landmark_day: float
    outcomes: Outcomes
    times_days: FloatArray
    """(times,): from 0, days from the landmark; ends where fewer than `SMALLEST` patients are at risk."""
    incidence: FloatArray
    """(causes, times)."""
    low: FloatArray
    high: FloatArray
    """(causes, times): pointwise 95 % interval."""
    ticks_days: FloatArray
    at_risk: IntArray
    """(ticks,): patients at risk just before each tick."""


def incidence_curves(cohort: Cohort, endpoint: Endpoint, landmark_day: float, rng: np.random.Generator) -> Curves:
    """Aalen–Johansen curves with percentile bootstrap bands (Efron, J Am Stat Assoc 1981;76:312–319), by patients.

    Raises:
        SequelaError: Nobody is at risk at the landmark.
    """
    _, outcomes = outcomes_at(cohort, endpoint, landmark_day)
    steps = np.unique(outcomes.duration_days)
    enough = n_at_risk(outcomes, steps) >= min(SMALLEST, len(outcomes))
    last = steps[enough][-1]
    times = np.concatenate([[0.0], steps[steps <= last]])
    ids = np.arange(len(outcomes))
    draws = [aalen_johansen(outcomes, weights).at(times) for weights in resample_patients(ids, RESAMPLES, rng)]
    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975], axis=0)
    ticks = tick_days(float(last))
    return Curves(
        endpoint.name, landmark_day, outcomes, times, aalen_johansen(outcomes).at(times), low, high, ticks,
        n_at_risk(outcomes, ticks),
    )  # fmt: skip


def n_at_risk(outcomes: Outcomes, days: FloatArray) -> IntArray:
    """(days,): patients at risk just before each day: entry < day ≤ duration, or entered by 0."""
    left = np.searchsorted(np.sort(outcomes.duration_days), days, side="left")
    entry = np.zeros(0) if outcomes.entry_days is None else outcomes.entry_days[outcomes.entry_days > 0]
    to_come = len(entry) - np.searchsorted(np.sort(entry), days, side="left")
    return np.asarray(len(outcomes) - left - to_come, dtype=np.int64)


def tick_days(last: float) -> FloatArray:
    """Whole days, weeks, months or years from 0 to a last day, at most seven."""
    step = next((step for step in _TICKS_DAYS if last / step <= 6), np.ceil(last / 6))
    return np.arange(0.0, last + 1e-9, step)


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


def median_follow_up(outcomes: Outcomes, rng: np.random.Generator) -> Interval:
    """Median of the reverse Kaplan–Meier curve (Schemper & Smith, Control Clin Trials 1996;17:343–346).

    The first day on which at most half would still be followed had nobody died; NaN where the curve stays above half.
    The interval is the percentile interval of resampled patients.
    """
    ids = np.arange(len(outcomes))
    draws = [_medians(outcomes, weights) for weights in resample_patients(ids, RESAMPLES, rng)]
    point = float(_medians(outcomes, np.ones((1, len(ids))))[0])
    return percentile_interval(point, np.concatenate(draws))


def _medians(outcomes: Outcomes, weights: NDArray[np.float64]) -> FloatArray:
    curve = censoring_survival(outcomes, weights)
    below = curve.survival <= 0.5
    return np.where(below.any(axis=1), curve.times_days[below.argmax(axis=1)], np.nan)


def followed(outcomes: Outcomes, days: FloatArray) -> FloatArray:
    """(days,): reverse Kaplan–Meier estimate of P(followed beyond each day)."""
    curve = censoring_survival(outcomes)
    return steps_at(curve.times_days, curve.survival, days, before_first=1.0, side="right")
