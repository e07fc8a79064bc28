"""All metrics of one prediction, for the sample or for its resamples at once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import at_horizons
from training.evaluation.brier import brier_score, integrate, null_brier_score, prediction_accuracy
from training.evaluation.calibration import aj_calibration, observed_over_expected
from training.evaluation.calibration_curve import calibration_distances
from training.evaluation.calibration_line import calibration_line
from training.evaluation.discrimination import auc, concordance
from training.evaluation.ipcw import ScoringWeights, scorable_times, scoring_weights
from training.evaluation.pseudo import pseudo_values

Measured = dict[str, NDArray[np.float64]]
"""By metric: overall ones (..., causes); those at horizons, whose names end in ``_at``, (..., causes, horizons)."""


class Subject:
    """What is scored, and all its metrics for given resamples (resamples, rows) or, for None, for the sample."""

    def __init__(
        self,
        incidence: NDArray[np.float64],
        times_days: NDArray[np.float64],
        outcomes: Outcomes,
        horizons_days: NDArray[np.float64],
        null_incidence: NDArray[np.float64] | None = None,
        fold: NDArray[np.int64] | None = None,
    ) -> None:
        self.outcomes, self.fold = outcomes, fold
        self.horizons = horizons_days
        self.grid = scorable_times(outcomes, times_days)
        self.incidence = incidence[..., : len(self.grid)]
        self.risk = at_horizons(incidence, times_days, horizons_days)
        self.null = None if null_incidence is None else null_incidence[..., : len(self.grid)]
        self.null_risk = None if null_incidence is None else at_horizons(null_incidence, times_days, horizons_days)

    def accuracy(self, resamples: NDArray[np.float64] | None) -> Measured:
        """Brier score, IPA, and discrimination."""
        on_grid = scoring_weights(self.outcomes, self.grid, resamples=resamples)
        at_horizon = scoring_weights(self.outcomes, self.horizons, resamples=resamples)
        ibs = integrate(brier_score(self.incidence, self.grid, self.outcomes, on_grid), self.grid)
        ibs_null = integrate(self._null_score(self.null, self.grid, on_grid), self.grid)
        brier = brier_score(self.risk, self.horizons, self.outcomes, at_horizon)
        return {
            "ibs": ibs,
            "ipa": prediction_accuracy(ibs, ibs_null),
            "c": concordance(self.risk[..., -1], self.outcomes, float(self.horizons[-1]), at_horizon, self.fold),
            "brier_at": brier,
            "ipa_at": prediction_accuracy(brier, self._null_score(self.null_risk, self.horizons, at_horizon)),
            "auc_at": auc(self.risk, self.horizons, self.outcomes, at_horizon, self.fold),
        }

    def calibration(self, resamples: NDArray[np.float64] | None) -> Measured:
        """Observed against predicted: on average, and along the curve and the line at each horizon."""
        curves = [self._at_one(k, j, resamples) for k, j in np.ndindex(len(self.outcomes.causes), len(self.horizons))]
        lead = curves[0]["ici_at"].shape
        shape = (*lead, len(self.outcomes.causes), len(self.horizons))
        measured = {name: np.stack([at[name] for at in curves], axis=-1).reshape(shape) for name in curves[0]}
        measured["o_e_at"] = observed_over_expected(self.risk, self.horizons, self.outcomes, resamples)
        weights = scoring_weights(self.outcomes, self.horizons, resamples=resamples)
        unknown = 0.0 * weights.after[..., None, :]  # NaN where nothing is known
        measured = {name: value + unknown for name, value in measured.items()}
        return measured | {"aj_calibration": aj_calibration(self.incidence, self.grid, self.outcomes, resamples)}

    def _at_one(self, index: int, j: int, resamples: NDArray[np.float64] | None) -> Measured:
        risk, pseudo = self.risk[:, index, j], self.pseudo[:, index, j]
        distances = calibration_distances(risk, pseudo, resamples)
        line = calibration_line(risk, pseudo, resamples)
        return {
            "ici_at": distances.ici,
            "e50_at": distances.e50,
            "e90_at": distances.e90,
            "emax_at": distances.emax,
            "calibration_intercept_at": line.intercept,
            "calibration_slope_at": line.slope,
        }

    @cached_property
    def pseudo(self) -> NDArray[np.float64]:
        """Pseudo-values (rows, causes, horizons)."""
        return pseudo_values(self.outcomes, self.horizons)

    def _null_score(
        self, null: NDArray[np.float64] | None, times_days: NDArray[np.float64], weights: ScoringWeights
    ) -> NDArray[np.float64]:
        if null is None:
            return null_brier_score(times_days, self.outcomes, weights)
        return brier_score(null, times_days, self.outcomes, weights)
