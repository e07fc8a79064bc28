"""Do the moves of the risk by a gene, or by a state, agree with what happened to patients never seen?

A network leans on noise as far as on what carries risk, so how far a gene moves the risk does not tell the two apart.
Here its moves A are added, a little of them, to the risk with all cells alike, p₀, shifted to the right mean; what the
Brier score of `training.evaluation.brier` falls by, for each unit added, is the first-order gain

    −∂/∂ε Σ_i w_i (y_i − p₀ᵢ − r̄ − ε A_i)² / n  at ε = 0  =  2 Σ_i w_i (y_i − p₀ᵢ − r̄) A_i / n,

with w the weights of the score and r̄ the weighted mean of y − p₀: twice the covariance of the moves with what the risk
without cells leaves unexplained, the score statistic for entering them. Moves that go with nothing give 0 on average.
"""

from __future__ import annotations

import numpy as np

from features.outcomes import Outcomes
from features.patients import FloatArray
from training.evaluation.arrays import ratio
from training.evaluation.discrimination import known_status
from training.evaluation.ipcw import scoring_weights


def first_order_gain(
    moved: FloatArray,
    alike: FloatArray,
    outcomes: Outcomes,
    cause: int,
    horizon_days: float,
    resamples: FloatArray | None = None,
) -> FloatArray:
    """Of each of some things that move the risk.

    Args:
        moved: (rows, things): by how much.
        alike: (rows,): the risk with all cells alike, which nothing here moves.
        outcomes: What happened to the rows.
        cause: 1, 2, …
        horizon_days: Of the risk.
        resamples: (resamples, rows), how often each row is drawn; None: once.

    Returns:
        (…, things), `…` being the resamples; NaN where nothing is known about the horizon.
    """
    weights = scoring_weights(outcomes, np.array([horizon_days]), resamples=resamples)
    by_now, free = known_status(outcomes, weights, 0)
    w = by_now + free
    residual = ((outcomes.duration_days <= horizon_days) & (outcomes.cause == cause)) - alike
    mean = ratio((w * residual).sum(axis=-1), w.sum(axis=-1))
    gain: FloatArray = 2 * (w * (residual - mean[..., None])) @ moved / weights.total[..., None]
    return gain + 0.0 * weights.after
