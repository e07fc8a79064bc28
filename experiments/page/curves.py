"""Estimates behind curves: incidence by cause with its band, numbers at risk, and follow-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.page.privacy import SMALLEST, Disclosure
from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.models.nonparametric import aalen_johansen, censoring_survival, steps_at

RESAMPLES = 400
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


def curves_of(
    endpoint: str, landmark_day: float, outcomes: Outcomes, rng: np.random.Generator, last_day: float = np.inf
) -> Curves:
    """Aalen–Johansen curves with percentile bootstrap bands (Efron, J Am Stat Assoc 1981;76:312–319), by patients.

    Args:
        endpoint: Its name.
        landmark_day: Days since infusion from which the outcomes count.
        outcomes: One row a patient.
        rng: Source of the resamples.
        last_day: Days from the landmark beyond which nothing is drawn.
    """
    steps = np.unique(outcomes.duration_days)
    enough = n_at_risk(outcomes, steps) >= min(SMALLEST, len(outcomes))
    last = min(float(steps[enough][-1]), last_day)
    times = np.unique(np.concatenate([[0.0], steps[steps <= last], [last]]))
    ids = np.arange(len(outcomes))
    draws = [aalen_johansen(outcomes, weights).at(times) for weights in resample_patients(ids, RESAMPLES, rng)]
    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975], axis=0)
    ticks = tick_days(last)
    estimate = aalen_johansen(outcomes).at(times)
    return Curves(endpoint, landmark_day, outcomes, times, estimate, low, high, ticks, n_at_risk(outcomes, ticks))


def drawn_causes(curves: Curves, shown: Disclosure) -> list[int]:
    """The causes that have events, and in real patients enough of them."""
    counts = list(curves.outcomes.counts().values())[1:]
    return [k for k, n in enumerate(counts) if n and not shown.small(n)]


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
