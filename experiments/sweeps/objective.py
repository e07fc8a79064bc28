"""The one number by which trials are ranked, of the sample and of its resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.data import TrainingRows
from experiments.out_of_fold import OutOfFold
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
    predicted: OutOfFold,
    objective: Objective,
    resamples: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The objective: mean over landmarks, in each the mean over repeats of the cross-validation.

    Args:
        rows: What was cross-validated.
        predicted: Out of fold; NaN where a row has not been tested (yet).
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
        for values, fold in zip(predicted.incidence, predicted.fold, strict=True):
            scored = np.flatnonzero(asked & np.isfinite(values).all(axis=(1, 2)))
            drawn = None if resamples is None else resamples[:, scored]
            if len(scored):
                own = _Scored(
                    values[scored], predicted.times_days, rows.outcomes.take(scored), fold[scored], horizons, drawn
                )
                repeats.append(own.measured(objective.metric)[..., cause])
        by_day.append(np.mean(repeats, axis=0) if repeats else np.nan)
    return np.asarray(np.mean(by_day, axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Scored:
    """Scored rows of one landmark and one repeat."""

    incidence: NDArray[np.float64]
    times_days: NDArray[np.float64]
    outcomes: Outcomes
    fold: NDArray[np.int64]
    horizons_days: NDArray[np.float64]
    resamples: NDArray[np.float64] | None

    def measured(self, metric: Metric) -> NDArray[np.float64]:
        """(..., causes), as `training.evaluation.measures` has them, and nothing else: a sweep scores often.

        But the null model of IPA stays that of all scored rows: estimated anew among the third that a resample leaves
        out, it would know these few better than any prediction can.
        """
        outcomes = self.outcomes
        if metric == "c":
            weights = scoring_weights(outcomes, self.horizons_days, resamples=self.resamples)
            risk = at_horizons(self.incidence, self.times_days, self.horizons_days)[..., -1]
            return concordance(risk, outcomes, float(self.horizons_days[-1]), weights, self.fold)
        grid = scorable_times(outcomes, self.times_days)
        weights = scoring_weights(outcomes, grid, resamples=self.resamples)
        ibs = integrate(brier_score(self.incidence[..., : len(grid)], grid, outcomes, weights), grid)
        if metric == "ibs":
            return ibs
        null = np.broadcast_to(aalen_johansen(outcomes).at(grid), (len(outcomes), len(outcomes.causes), len(grid)))
        return prediction_accuracy(ibs, integrate(brier_score(null, grid, outcomes, weights), grid))
