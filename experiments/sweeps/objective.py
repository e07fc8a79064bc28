"""The one number by which trials are ranked, of the sample and of its resamples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experiments.data import TrainingRows
from experiments.sweeps.config import Metric, Objective
from features.outcomes import Outcomes
from features.schema import Endpoint
from training.evaluation.arrays import at_horizons
from training.evaluation.brier import brier_score, integrate, prediction_accuracy
from training.evaluation.discrimination import concordance
from training.evaluation.ipcw import scorable_times, scoring_weights
from training.models.nonparametric import aalen_johansen


def landmarks_of(objective: Objective, endpoint: Endpoint) -> tuple[float, ...]:
    """Landmark days that are scored."""
    return objective.landmark_days or endpoint.landmark_days


def objective_values(
    rows: TrainingRows,
    incidence: NDArray[np.float64],
    times_days: NDArray[np.float64],
    objective: Objective,
    resamples: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The objective: mean over landmarks, in each the mean over repeats of the cross-validation.

    Args:
        rows: What was cross-validated.
        incidence: (repeats, rows, causes, times), out of fold; NaN where a row has not been tested (yet).
        times_days: (times,).
        objective: What is asked.
        resamples: (resamples, rows), how often each row is drawn; None: the sample.

    Returns:
        (resamples,), or () for the sample; NaN where nothing is known.
    """
    cause = rows.endpoint.causes.index(objective.cause or rows.endpoint.causes[0])
    horizons = np.array(rows.endpoint.horizons_days)
    by_day = []
    for day in landmarks_of(objective, rows.endpoint):
        asked = (rows.patients.landmark_day == day) & rows.outcomes.from_landmark
        repeats = []
        for values in incidence:
            scored = np.flatnonzero(asked & np.isfinite(values).all(axis=(1, 2)))
            drawn = None if resamples is None else resamples[:, scored]
            if len(scored):
                outcomes = rows.outcomes.take(scored)
                found = _measured(objective.metric, values[scored], times_days, outcomes, horizons, drawn)
                repeats.append(found[..., cause])
        by_day.append(np.mean(repeats, axis=0) if repeats else np.nan)
    return np.asarray(np.mean(by_day, axis=0), dtype=np.float64)


def _measured(
    metric: Metric,
    incidence: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    horizons_days: NDArray[np.float64],
    resamples: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """(..., causes), as `training.evaluation.measures` has them, and nothing else: a sweep scores often.

    But the null model of IPA stays that of all scored rows: estimated anew among the third that a resample leaves out,
    it would know these few better than any prediction can.
    """
    if metric == "c":
        weights = scoring_weights(outcomes, horizons_days, resamples=resamples)
        risk = at_horizons(incidence, times_days, horizons_days)[..., -1]
        return concordance(risk, outcomes, float(horizons_days[-1]), weights)
    grid = scorable_times(outcomes, times_days)
    weights = scoring_weights(outcomes, grid, resamples=resamples)
    ibs = integrate(brier_score(incidence[..., : len(grid)], grid, outcomes, weights), grid)
    if metric == "ibs":
        return ibs
    null = np.broadcast_to(aalen_johansen(outcomes).at(grid), (len(outcomes), len(outcomes.causes), len(grid)))
    return prediction_accuracy(ibs, integrate(brier_score(null, grid, outcomes, weights), grid))
