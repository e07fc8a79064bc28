"""The log-rank test: do the hazards of one cause differ between arms?"""

from __future__ import annotations

import numpy as np

from features.outcomes import Outcomes
from training.effects.arms import Arms, FloatArray, IntArray
from training.effects.estimates import NAN, ChiSquared
from training.effects.gray import quadratic_form


def log_rank_test(arms: Arms, cause: int) -> ChiSquared:
    """Test that the cause-specific hazard is the same in all arms; who meets another cause is censored there.

    Events less those expected, with their hypergeometric variance, over strata (Mantel, Cancer Chemother Rep
    1966;50:163; Peto & Peto, J R Stat Soc A 1972;135:185), as R's `survival::survdiff` has them. It is not a test of
    incidences: those depend on the hazards of all causes. NaN where nobody has the event.

    Args:
        arms: Patients, perhaps with late entry; censoring independent of the causes within an arm and stratum.
        cause: 1, 2, …
    """
    n_free = len(arms.names) - 1
    score, variance = np.zeros(n_free), np.zeros((n_free, n_free))
    for rows in arms.strata():
        own, spread = _score_and_variance(arms.outcomes.take(rows), arms.arm[rows], len(arms.names), cause)
        score += own[:n_free]
        variance += spread[:n_free, :n_free]
    return quadratic_form(score, variance) if variance.any() else ChiSquared(NAN, n_free, NAN)


def _score_and_variance(outcomes: Outcomes, arm: IntArray, n_arms: int, cause: int) -> tuple[FloatArray, FloatArray]:
    """(arms,) and (arms, arms) of one stratum."""
    event = outcomes.cause == cause
    times = np.unique(outcomes.duration_days[event])
    at_risk = np.zeros((n_arms, len(times)))
    events = np.zeros((n_arms, len(times)))
    for k in range(n_arms):
        leave = np.sort(outcomes.duration_days[arm == k])
        at_risk[k] = len(leave) - np.searchsorted(leave, times, side="left")
        if outcomes.entry_days is not None:
            enter = np.sort(outcomes.entry_days[arm == k])
            at_risk[k] -= len(enter) - np.searchsorted(enter, times, side="left")
        np.add.at(events[k], np.searchsorted(times, outcomes.duration_days[event & (arm == k)]), 1.0)
    total, happened = at_risk.sum(axis=0), events.sum(axis=0)
    share = at_risk / total
    spread = happened * np.divide(total - happened, total - 1, out=np.zeros_like(total), where=total > 1)
    covariance = np.einsum("it,t->i", share, spread) * np.eye(n_arms) - np.einsum("it,jt,t->ij", share, share, spread)
    return (events - share * happened).sum(axis=1), covariance
