"""Aalen–Johansen incidence and the Kaplan–Meier curve of the censoring time, for one sample or many reweighted ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes

EXHAUSTED = 1e-12
"""A risk set smaller than this share of its former weight is empty; weighted sums leave rounding behind."""


@dataclass(frozen=True, slots=True)
class RiskSets:
    """Who was at risk and who left, at every distinct time; the leading axes `...` are those of the weights."""

    times_days: NDArray[np.float64]
    """(times,): the distinct durations, ascending."""
    row_time: NDArray[np.int64]
    """(rows,): where each row's duration stands in `times_days`."""
    at_risk: NDArray[np.float64]
    """(..., times): weight of the rows with entry < time ≤ duration."""
    events: NDArray[np.float64]
    """(..., causes, times)"""
    censored: NDArray[np.float64]
    """(..., times)"""


@dataclass(frozen=True, slots=True)
class StepIncidence:
    """Cumulative incidence as right-continuous steps."""

    times_days: NDArray[np.float64]
    """(times,): where the steps are, ascending."""
    incidence: NDArray[np.float64]
    """(..., causes, times)"""
    event_free: NDArray[np.float64]
    """(..., times)"""

    def at(self, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Incidences (..., causes, times) by any times; 0 before the first step, constant after the last one."""
        return steps_at(self.times_days, self.incidence, times_days, before_first=0.0, side="right")


@dataclass(frozen=True, slots=True)
class StepSurvival:
    """A survival function as right-continuous steps."""

    times_days: NDArray[np.float64]
    """(times,): where the steps are, ascending."""
    survival: NDArray[np.float64]
    """(..., times)"""

    def at(self, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(time > t), shape (..., times)."""
        return steps_at(self.times_days, self.survival, times_days, before_first=1.0, side="right")

    def before(self, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """The left limit P(time ≥ t), shape (..., times)."""
        return steps_at(self.times_days, self.survival, times_days, before_first=1.0, side="left")


def aalen_johansen(outcomes: Outcomes, weights: NDArray[np.float64] | None = None) -> StepIncidence:
    """Cumulative incidence of every cause, assuming censoring and entry independent of the causes.

    F_k(t) = Σ_{s≤t} S(s−) dN_k(s) / Y(s), with S the Kaplan–Meier curve of the time to the first event of any cause
    (Aalen & Johansen, Scand J Stat 1978;5:141–150; Andersen, Borgan, Gill & Keiding 1993, section IV.4).

    Args:
        outcomes: Rows of patients; `entry_days` moves a row's entry into the risk set (left truncation).
        weights: (rows,) or (resamples, rows), at least 0; the result has the same leading axis. None: 1 for each row.

    Raises:
        ValueError: No rows, a shape that does not fit, or a row that leaves before it enters.
    """
    sets = risk_sets(outcomes, weights)
    hazard = _share(sets.events, sets.at_risk[..., None, :])
    event_free = kaplan_meier(sets)
    before = np.concatenate([np.ones_like(event_free[..., :1]), event_free[..., :-1]], axis=-1)
    incidence = np.cumsum(before[..., None, :] * hazard, axis=-1)
    return StepIncidence(sets.times_days, incidence, event_free)


def censoring_survival(outcomes: Outcomes, weights: NDArray[np.float64] | None = None) -> StepSurvival:
    """Kaplan–Meier curve of the time to censoring, G(t) = P(censoring > t), assuming it independent of the events.

    Where events and censorings are tied, the events come first: a row with an event on a day is no longer at risk of
    being censored on that day, G(t) = Π_{s≤t} (1 − dN_0(s) / (Y(s) − dN(s))). This is the reverse Kaplan–Meier curve
    of R's prodlim (Gerds & Schumacher, Biom J 2006;48:1029–1040), and makes S(t−) G(t−) = Y(t) / n an identity.

    Args:
        outcomes: Rows of patients; `entry_days` moves a row's entry into the risk set.
        weights: (rows,) or (resamples, rows), at least 0; the result has the same leading axis. None: 1 for each row.

    Raises:
        ValueError: No rows, a shape that does not fit, or a row that leaves before it enters.
    """
    sets = risk_sets(outcomes, weights)
    return StepSurvival(sets.times_days, reverse_kaplan_meier(sets))


def kaplan_meier(sets: RiskSets) -> NDArray[np.float64]:
    """P(no event of any cause by the times of the risk sets), shape (..., times)."""
    survival: NDArray[np.float64] = np.cumprod(
        1.0 - _share(sets.events.sum(axis=-2), sets.at_risk), axis=-1, dtype=np.float64
    )
    return survival


def reverse_kaplan_meier(sets: RiskSets) -> NDArray[np.float64]:
    """G at the times of the risk sets, shape (..., times); see `censoring_survival`."""
    exposed = sets.at_risk - sets.events.sum(axis=-2)
    factor = 1.0 - _share(sets.censored, exposed)
    survival: NDArray[np.float64] = np.cumprod(np.where(factor < EXHAUSTED, 0.0, factor), axis=-1, dtype=np.float64)
    return survival


def risk_sets(outcomes: Outcomes, weights: NDArray[np.float64] | None = None) -> RiskSets:
    """Count, at each distinct duration, who is at risk and who leaves; arguments as in `aalen_johansen`."""
    n_rows = len(outcomes)
    weights = np.ones(n_rows) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(outcomes, weights)
    times, row_time = np.unique(outcomes.duration_days, return_inverse=True)
    order = np.argsort(row_time, kind="stable")
    starts = np.searchsorted(row_time[order], np.arange(len(times)))
    sorted_weights, sorted_cause = weights[..., order], outcomes.cause[order]

    def leaving(cause: int) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.add.reduceat(sorted_weights * (sorted_cause == cause), starts, axis=-1)
        return total

    leaving_at = np.add.reduceat(sorted_weights, starts, axis=-1)
    at_risk = np.cumsum(leaving_at[..., ::-1], axis=-1)[..., ::-1]
    if outcomes.entry_days is not None:
        at_risk = at_risk - _not_entered(outcomes.entry_days, weights, times)
    events = np.stack([leaving(cause) for cause in range(1, len(outcomes.causes) + 1)], axis=-2)
    return RiskSets(times, row_time, at_risk, events, leaving(0))


def _not_entered(
    entry_days: NDArray[np.float64], weights: NDArray[np.float64], times_days: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weight (..., times) of the rows that enter at or after each time."""
    first_time = np.searchsorted(times_days, entry_days, side="right")
    order = np.argsort(first_time, kind="stable")
    total = np.concatenate([np.zeros_like(weights[..., :1]), np.cumsum(weights[..., order], axis=-1)], axis=-1)
    entered = np.searchsorted(first_time[order], np.arange(len(times_days)), side="right")
    late: NDArray[np.float64] = total[..., -1:] - total[..., entered]
    return late


def _check(outcomes: Outcomes, weights: NDArray[np.float64]) -> None:
    n_rows = len(outcomes)
    if n_rows == 0 or weights.shape[-1] != n_rows:
        msg = f"outcomes of {n_rows} rows with weights of shape {weights.shape}; at least one row, one weight for each"
        raise ValueError(msg)
    if outcomes.cause.min() < 0 or outcomes.cause.max() > len(outcomes.causes):
        msg = f"causes must be 0 (censored) to {len(outcomes.causes)}"
        raise ValueError(msg)
    if outcomes.entry_days is not None and (outcomes.entry_days >= outcomes.duration_days).any():
        msg = "entry_days must be less than duration_days in each row"
        raise ValueError(msg)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of those at risk, and 0 where nobody is."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def steps_at(
    steps_days: NDArray[np.float64],
    values: NDArray[np.float64],
    times_days: NDArray[np.float64],
    *,
    before_first: float,
    side: str,
) -> NDArray[np.float64]:
    """Values of a step function at (`side="right"`) or just before (`"left"`) any times."""
    step = np.searchsorted(steps_days, times_days, side="right" if side == "right" else "left")
    found: NDArray[np.float64] = np.where(step > 0, values[..., np.maximum(step - 1, 0)], before_first)
    return found
