"""Gray's test: do the incidences of one cause differ between arms?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.outcomes import Outcomes
from training.effects.arms import Arms, FloatArray, IntArray
from training.effects.estimates import NAN, ChiSquared
from training.models.nonparametric import aalen_johansen, risk_sets


@dataclass(frozen=True, slots=True)
class _Course:
    """Counts and curves by arm at the times of events of one stratum, all (arms, times) but the pooled curve."""

    at_risk: FloatArray
    own: FloatArray
    """Events of the cause."""
    other: FloatArray
    """Events that compete."""
    free_before: FloatArray
    """Event-free share just before each time, and then just after it."""
    free: FloatArray
    incidence_before: FloatArray
    """Of the cause, just before each time."""
    pooled: FloatArray
    """(times + 1,): incidence of the cause if all arms have the same, from 0 before the first time."""
    weight: FloatArray
    """Y_k / S_k(t−): under the hypothesis, in proportion to the subdistribution's risk set; 0 where none is left."""

    @classmethod
    def of(cls, outcomes: Outcomes, arm: IntArray, n_arms: int, cause: int) -> _Course:
        times = np.unique(outcomes.duration_days[outcomes.cause > 0])
        shape = (n_arms, len(times))
        at_risk, own, other, free, incidence = (np.zeros(shape) for _ in range(5))
        for k in np.unique(arm):
            rows = outcomes.take(np.flatnonzero(arm == k))
            sets, curve = risk_sets(rows), aalen_johansen(rows)
            at_risk[k] = len(rows) - np.searchsorted(np.sort(rows.duration_days), times, side="left")
            here = np.isin(sets.times_days, times)
            place = np.searchsorted(times, sets.times_days[here])
            own[k, place] = sets.events[cause - 1, here]
            other[k, place] = sets.events[:, here].sum(axis=0) - own[k, place]
            step = np.searchsorted(curve.times_days, times, side="right")
            free[k] = np.concatenate([[1.0], curve.event_free])[step]
            incidence[k] = np.concatenate([[0.0], curve.incidence[cause - 1]])[step]
        before = np.concatenate([np.ones((n_arms, 1)), free[:, :-1]], axis=1)
        weight = np.divide(at_risk, before, out=np.zeros(shape), where=(at_risk > 0) & (before > 0))
        rise = own.sum(axis=0) / weight.sum(axis=0)
        pooled = np.concatenate([[0.0], np.cumsum(rise)])
        incidence_before = np.concatenate([np.zeros((n_arms, 1)), incidence[:, :-1]], axis=1)
        return cls(at_risk, own, other, before, free, incidence_before, pooled, weight)


def gray_test(arms: Arms, cause: int) -> ChiSquared:
    """Test that the cumulative incidence of a cause is the same in all arms (Gray, Ann Stat 1988;16:1141–1154, ρ = 0).

    The score compares, at each time, an arm's events with its share of the subdistribution's risk set
    R_k = Y_k (1 − F_k(t−)) / S_k(t−); over strata, scores and variances add up. Equals R's `cmprsk::cuminc`, its
    correction of the variance for ties included. NaN where nobody has the event.

    Args:
        arms: Patients observed from 0 on; censoring independent of the causes within an arm and stratum.
        cause: 1, 2, …

    Raises:
        ValueError: Patients who enter late, for whom the test is not defined.
    """
    if arms.outcomes.entry_days is not None:
        msg = "Gray's test is not defined for patients who enter observation late (left truncation)"
        raise ValueError(msg)
    n_free = len(arms.names) - 1
    score, variance = np.zeros(n_free), np.zeros((n_free, n_free))
    for rows in arms.strata():
        outcomes = arms.outcomes.take(rows)
        if not (outcomes.cause == cause).any():
            continue
        course = _Course.of(outcomes, arms.arm[rows], len(arms.names), cause)
        score += _score(course)[:n_free]
        variance += _variance(course)[:n_free, :n_free]
    if not variance.any():
        return ChiSquared(NAN, n_free, NAN)
    return quadratic_form(score, variance)


def quadratic_form(score: FloatArray, variance: FloatArray) -> ChiSquared:
    """U V⁻ U, with as many degrees of freedom as V has rank: an arm without anyone at risk of an event has none."""
    degrees = int(np.linalg.matrix_rank(variance, hermitian=True))
    return ChiSquared.of(float(score @ np.linalg.pinv(variance, hermitian=True) @ score), degrees)


def _score(course: _Course) -> FloatArray:
    """(arms,): events less those expected, over time."""
    sets = course.weight * (1 - course.incidence_before)
    expected = course.own.sum(axis=0) * sets / sets.sum(axis=0)
    result: FloatArray = (course.own - expected).sum(axis=1)
    return result


def _variance(course: _Course) -> FloatArray:
    """(arms, arms): of the score, from its martingale representation (Gray 1988, section 3).

    An event of the cause in arm k at time t changes the score of arm i by a_ik(t), and through the incidence of arm k
    at all later times by (1 − (1 − F(t)) / S_k(t)) (C_ik − C_ik(t)); a competing event by the second alone, with
    (1 − F(t)) / S_k(t). With h_k = Y_k / S_k(t−): a_ik = h_k (1{i = k} − h_i / Σh) and dC_ik = a_ik dF / (1 − F(t−)).
    """
    h, total = course.weight, course.weight.sum(axis=0)
    n_own = course.own.sum(axis=0)
    n_arms = len(h)
    change = h[None] * (np.eye(n_arms)[:, :, None] - (h / total)[:, None])
    later = _later(np.cumsum(change * _ratio(n_own / total, 1 - course.pooled[:-1]), axis=2))
    still = (1 - course.pooled[1:]) / np.where(course.free > 0, course.free, np.inf)
    remains = np.where(course.free > 0, 1 - still, 1.0)
    own = change + remains * later
    # Of d tied events one binomial step each: the hypergeometric factor 1 − (d − 1) / (size − 1).
    size = total * course.free_before
    tied = np.where(n_own > 1, 1 - _ratio(n_own - 1, size - 1), 1.0)
    own_weight = tied * _ratio(course.free_before * n_own, total * course.at_risk)
    other_tied = np.where(course.other > 1, 1 - _ratio(course.other - 1, course.at_risk - 1), 1.0)
    other_weight = other_tied * _ratio(course.free_before**2 * course.other, course.at_risk**2) * still**2
    result: FloatArray = np.einsum("ikt,jkt,kt->ij", own, own, own_weight)
    result += np.einsum("ikt,jkt,kt->ij", later, later, other_weight)
    return result


def _later(cumulative: FloatArray) -> FloatArray:
    """What is still to come after each time."""
    rest: FloatArray = cumulative[..., -1:] - cumulative
    return rest


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
