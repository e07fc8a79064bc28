"""Pseudo-values of the Aalen–Johansen estimate: a number for each row, censored or not, whose mean is the estimate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.models.nonparametric import RiskSets, aalen_johansen, risk_sets


def pseudo_values(outcomes: Outcomes, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pseudo-values θ(t) + n ∂θ(t)/∂w_i, shape (rows, causes, times), θ being the Aalen–Johansen estimate.

    The derivative with respect to a row's weight is the infinitesimal jackknife, to first order the leave-one-out
    pseudo-value of Andersen, Klein & Rosthøj (Biometrika 2003;90:15–27); R's `survival::pseudo` computes the same.
    Assumes censoring independent of causes and predictions.
    """
    estimate = aalen_johansen(outcomes).at(times_days)
    return estimate + len(outcomes) * influence(outcomes, times_days)


def influence(outcomes: Outcomes, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
    """∂F_k(t)/∂w_i of the Aalen–Johansen estimate at equal weights, shape (rows, causes, times).

    The sum of squares over independent rows estimates its variance (infinitesimal jackknife; Efron 1982).
    With N events of any cause, Y at risk and H(s) = Σ_{u≤s} dN(u) / (Y(u) (Y(u) − dN(u))), a row that was at risk
    from its entry to T_i changes F_k(t) through the event-free probability of all later days and through the hazard
    of the days on which it was at risk:

        1{T_i ≤ t, D_i = k} S(T_i−)/Y(T_i) − Σ_{s ≤ t, at risk} dF_k(s)/Y(s)
        + Σ_{s ≤ t} dF_k(s) [H(min(s−, T_i)) − H(min(s−, entry_i))] − 1{D_i ≠ 0} (F_k(t) − F_k(T_i))⁺ / (Y − dN)(T_i)

    which is the product rule applied to F_k(t) = Σ S(s−) dN_k(s)/Y(s).
    """
    sets = risk_sets(outcomes)
    steps = _Steps(sets)
    last = np.searchsorted(sets.times_days, times_days, side="right")
    leave = sets.row_time + 1
    enter = np.zeros(len(outcomes), dtype=np.int64)
    if outcomes.entry_days is not None:
        enter = np.searchsorted(sets.times_days, outcomes.entry_days, side="right")
    has_event = outcomes.cause > 0
    derivative = np.empty((len(outcomes), len(outcomes.causes), len(times_days)))
    for index in range(len(outcomes.causes)):
        own = np.where(outcomes.cause == index + 1, steps.jump[sets.row_time], 0.0)
        for j, end in enumerate(last):
            until_leave, until_enter = np.minimum(leave, end), np.minimum(enter, end)
            change = np.where(leave <= end, own, 0.0)
            change -= steps.hazard[index, until_leave] - steps.hazard[index, until_enter]
            change += steps.exposure(index, leave, end) - steps.exposure(index, enter, end)
            change -= np.where(has_event, steps.removal[sets.row_time], 0.0) * steps.later(index, leave, end)
            derivative[:, index, j] = change
    return derivative


class _Steps:
    """Running sums of `influence`, each with a leading 0: position m holds the sum over the first m times."""

    def __init__(self, sets: RiskSets) -> None:
        events = sets.events.sum(axis=0)
        left = sets.at_risk - events
        before = np.concatenate([[1.0], np.cumprod(1.0 - _divide(events, sets.at_risk))[:-1]])
        increments = before * _divide(sets.events, sets.at_risk)
        self.jump = _divide(before, sets.at_risk)
        """S(T−) / Y(T) at each time."""
        # Where everyone at risk had an event nothing comes later, and these terms drop out.
        self.removal = _divide(np.ones_like(left), left)
        """1 / (Y − dN) at each time."""
        self.h = _running(_divide(events, sets.at_risk * left))
        self.incidence = _running(increments)
        self.hazard = _running(_divide(increments, sets.at_risk))
        self.weighted = _running(self.h[:-1] * increments)
        """Σ H(s−) dF_k(s)."""

    def later(self, index: int, position: NDArray[np.int64], end: int) -> NDArray[np.float64]:
        """F_k(t) − F_k, from a position on; 0 if that is after t."""
        gained: NDArray[np.float64] = self.incidence[index, end] - self.incidence[index, np.minimum(position, end)]
        return gained

    def exposure(self, index: int, position: NDArray[np.int64], end: int) -> NDArray[np.float64]:
        """Σ_{s ≤ t} dF_k(s) H(min(s−, the time before the position))."""
        found: NDArray[np.float64] = self.weighted[index, np.minimum(position, end)]
        return found + self.h[position] * self.later(index, position, end)


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros_like(values[..., :1]), np.cumsum(values, axis=-1)], axis=-1)


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
