"""Pseudo-values of the Aalen–Johansen estimate: a number for each row, censored or not, whose mean is the estimate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import running_sums
from training.models.nonparametric import EXHAUSTED, RiskSets, aalen_johansen, risk_sets


def pseudo_values(outcomes: Outcomes, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pseudo-values θ(t) + n ∂θ(t)/∂w_i, shape (rows, causes, times), θ being the Aalen–Johansen estimate.

    The derivative with respect to a row's weight is the infinitesimal jackknife, to first order the leave-one-out
    pseudo-value of Andersen, Klein & Rosthøj (Biometrika 2003;90:15–27); R's `survival::pseudo` computes the same.
    Assumes censoring independent of causes and predictions.
    """
    estimate = aalen_johansen(outcomes).at(times_days)
    return estimate + len(outcomes) * influence(outcomes, times_days)


def influence(
    outcomes: Outcomes, times_days: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """∂F_k(t)/∂w_i of the Aalen–Johansen estimate, shape (rows, causes, times); see `derivative`.

    The sum of squares over independent rows, each times its weight, estimates its variance (infinitesimal jackknife;
    Efron 1982).

    Args:
        outcomes: The rows.
        times_days: (times,)
        weights: (rows,); None: 1 for each row.
    """
    sets = risk_sets(outcomes, weights)
    by_then = (sets.times_days <= np.asarray(times_days, dtype=float)[:, None]).astype(float)
    return derivative(outcomes, sets, by_then)


def derivative(outcomes: Outcomes, sets: RiskSets, gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """∂θ/∂w_i of θ_k = Σ_s g(s) dF_k(s), F_k being the Aalen–Johansen estimate.

    With N events of any cause, Y at risk and H(s) = Σ_{u≤s} dN(u) / (Y(u) (Y(u) − dN(u))), a row that was at risk
    from its entry to T_i changes θ_k through the event-free probability of all later days and through the hazard
    of the days on which it was at risk:

        1{D_i = k} g(T_i) S(T_i−)/Y(T_i) − Σ_{s at risk} g(s) dF_k(s)/Y(s)
        + Σ_s g(s) dF_k(s) [H(min(s−, T_i)) − H(min(s−, entry_i))]
        − 1{D_i ≠ 0} Σ_{s > T_i} g(s) dF_k(s) / (Y − dN)(T_i)

    which is the product rule applied to dF_k(s) = S(s−) dN_k(s)/Y(s).

    Args:
        outcomes: The rows.
        sets: Their risk sets, with weights (rows,).
        gain: (functionals, times): g at the times of the risk sets; 1{s ≤ t} for F_k(t).

    Returns:
        (rows, causes, functionals)
    """
    steps = _Steps(sets)
    leave = sets.row_time + 1
    enter = np.zeros(len(outcomes), dtype=np.int64)
    if outcomes.entry_days is not None:
        enter = np.searchsorted(sets.times_days, outcomes.entry_days, side="right")
    removal = np.where(outcomes.cause > 0, steps.removal[sets.row_time], 0.0)
    found = np.empty((len(outcomes), len(outcomes.causes), len(gain)))
    for index in range(len(outcomes.causes)):
        own = np.where(outcomes.cause == index + 1, steps.jump[sets.row_time], 0.0)
        for j, factor in enumerate(gain):
            sums = _Sums(steps, factor * steps.increments[index])
            change = own * factor[sets.row_time]
            change -= sums.hazard[leave] - sums.hazard[enter]
            change += sums.exposure(leave) - sums.exposure(enter)
            found[:, index, j] = change - removal * sums.later(leave)
    return found


class _Steps:
    """What `derivative` needs of the risk sets, whatever the functional."""

    def __init__(self, sets: RiskSets) -> None:
        events = sets.events.sum(axis=0)
        left = sets.at_risk - events
        # Where everyone at risk had an event nothing comes later, and these terms drop out.
        left = np.where(left > EXHAUSTED * sets.at_risk, left, 0.0)
        before = np.concatenate([[1.0], np.cumprod(1.0 - _divide(events, sets.at_risk))[:-1]])
        self.at_risk = sets.at_risk
        self.increments = before * _divide(sets.events, sets.at_risk)
        """(causes, times): dF_k."""
        self.jump = _divide(before, sets.at_risk)
        """S(T−) / Y(T) at each time."""
        self.removal = _divide(np.ones_like(left), left)
        """1 / (Y − dN) at each time."""
        self.h = running_sums(_divide(events, sets.at_risk * left))


class _Sums:
    """Running sums of one functional, each with a leading 0: position m holds the sum over the first m times."""

    def __init__(self, steps: _Steps, gained: NDArray[np.float64]) -> None:
        self._h = steps.h
        self._gained = running_sums(gained)
        self.hazard = running_sums(_divide(gained, steps.at_risk))
        self._weighted = running_sums(steps.h[:-1] * gained)

    def later(self, position: NDArray[np.int64]) -> NDArray[np.float64]:
        """Σ g dF_k from a position on."""
        rest: NDArray[np.float64] = self._gained[-1] - self._gained[position]
        return rest

    def exposure(self, position: NDArray[np.int64]) -> NDArray[np.float64]:
        """Σ_s g(s) dF_k(s) H(min(s−, the time before the position))."""
        found: NDArray[np.float64] = self._weighted[position] + self._h[position] * self.later(position)
        return found


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
