"""Brier score of cumulative incidences, its integral over time, and the index of prediction accuracy (IPA)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import check_prediction, ratio
from training.evaluation.ipcw import ScoringWeights, scoring_weights
from training.models.nonparametric import aalen_johansen


def brier_score(
    incidence: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    weights: ScoringWeights | None = None,
) -> NDArray[np.float64]:
    """Mean squared difference between predicted incidence and what had happened by each time.

    BS_k(t) = 1/n Σ_i [ (1{D_i = k} − F_k(t|i))² 1{T_i ≤ t, D_i ≠ 0} / G(T_i−) + F_k(t|i)² 1{T_i > t} / G(t) ]
    (Schoop et al., Biom J 2011;53:88–112, with the marginal G of `training.evaluation.ipcw`).

    Args:
        incidence: (rows, causes, times), predicted.
        times_days: (times,), ascending.
        outcomes: What happened to the rows.
        weights: From `scoring_weights` for these rows and times; None: those of the rows themselves.

    Returns:
        (..., causes, times), `...` being the resamples of the weights; NaN where nothing is known about the time.

    Raises:
        ValueError: Shapes that do not fit, or values that are not finite.
    """
    check_prediction(incidence, times_days, outcomes)
    weights = scoring_weights(outcomes, times_days) if weights is None else weights
    happened, followed, leaving = _by_time(outcomes, times_days)
    scores = []
    for index in range(len(outcomes.causes)):
        risk = incidence[:, index, :]
        of_cause = (outcomes.cause == index + 1)[:, None]
        squared = risk**2
        total = weights.event @ np.where(happened, (of_cause - risk) ** 2, 0.0)
        total += weights.after * (weights.row @ np.where(followed, squared, 0.0))
        total += weights.tied * (weights.row @ np.where(leaving, squared, 0.0))
        scores.append(total / weights.total[..., None])
    return np.stack(scores, axis=-2)


def null_brier_score(
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    weights: ScoringWeights | None = None,
) -> NDArray[np.float64]:
    """Brier score (..., causes, times) of the Aalen–Johansen estimate of the scored rows themselves.

    It predicts the same for everyone and has seen the outcomes, as the null model of `riskRegression::Score` has; in a
    resample it is estimated anew. To score a null that was estimated elsewhere, give its incidence to `brier_score`.
    """
    weights = scoring_weights(outcomes, times_days) if weights is None else weights
    risk = aalen_johansen(outcomes, weights.row).at(times_days)
    happened, followed, leaving = (matrix.astype(np.float64) for matrix in _by_time(outcomes, times_days))
    by_cause = [(weights.event * (outcomes.cause == k + 1)) @ happened for k in range(len(outcomes.causes))]
    of_cause = np.stack(by_cause, axis=-2)
    free = weights.after * (weights.row @ followed) + weights.tied * (weights.row @ leaving)
    others = of_cause.sum(axis=-2, keepdims=True) - of_cause + free[..., None, :]
    score: NDArray[np.float64] = ((1 - risk) ** 2 * of_cause + risk**2 * others) / weights.total[..., None, None]
    return score


def integrate(
    score: NDArray[np.float64], times_days: NDArray[np.float64], range_days: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Mean over a time range of a score (..., times), by the trapezoid rule: the integrated Brier score.

    The default range is from day 0, where nothing has happened and the score is 0, to the last time. (R's
    `riskRegression` takes the score as a left-continuous step instead; on a fine grid the two meet.)

    Args:
        score: (..., times).
        times_days: (times,), ascending.
        range_days: Start and end; the score is linear between the times.

    Raises:
        ValueError: An empty range, or one that ends after the last time.
    """
    start, end = (0.0, float(times_days[-1])) if range_days is None else range_days
    if not 0 <= start < end <= times_days[-1]:
        msg = f"range of {start:g} to {end:g} days must lie within 0 to {times_days[-1]:g} days"
        raise ValueError(msg)
    grid = np.unique(np.concatenate([[start, end], times_days[(times_days > start) & (times_days < end)]]))
    known = np.concatenate([[0.0], times_days]) if times_days[0] > 0 else times_days
    values = np.concatenate([np.zeros_like(score[..., :1]), score], axis=-1) if times_days[0] > 0 else score
    right = np.clip(np.searchsorted(known, grid), 1, len(known) - 1)
    share = (grid - known[right - 1]) / (known[right] - known[right - 1])
    on_grid = values[..., right - 1] * (1 - share) + values[..., right] * share
    mean: NDArray[np.float64] = np.trapezoid(on_grid, grid, axis=-1) / (end - start)
    return mean


def prediction_accuracy(score: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.float64]:
    """IPA = 1 − score / null, for Brier scores at a time or integrated ones; NaN where the null scores 0.

    Kattan & Gerds, Diagn Progn Res 2018;2:7. Above 0 is better than predicting the same for everyone.
    """
    return 1.0 - ratio(score, null)


def _by_time(
    outcomes: Outcomes, times_days: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """(rows, times) each: had an event by the time; is still followed after it; is censored at it."""
    duration, cause = outcomes.duration_days[:, None], outcomes.cause[:, None]
    return (duration <= times_days) & (cause > 0), duration > times_days, (duration == times_days) & (cause == 0)
