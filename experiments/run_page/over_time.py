"""Discrimination and accuracy at every time, and how far predictions lie from what is observed at a horizon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.page.privacy import SMALLEST
from experiments.run_page.record import AtLandmark
from features.patients import FloatArray
from training.evaluation.arrays import at_horizons
from training.evaluation.brier import brier_score, null_brier_score, prediction_accuracy
from training.evaluation.calibration import CalibrationGroup, calibration_groups
from training.evaluation.calibration_curve import smoothed_observed
from training.evaluation.discrimination import auc
from training.evaluation.intervals import percentile_interval, resample_patients
from training.evaluation.ipcw import ScoringWeights, scorable_times, scoring_weights
from training.evaluation.pseudo import pseudo_values

EVERY = 3
"""Of the even grid's times, every third."""
MOST_GROUPS = 5
EVENTS_A_GROUP = 5


@dataclass(frozen=True, slots=True)
class OverTime:
    """Scores of the event of interest by time; each (times, 3): point, low, high."""

    times_days: FloatArray
    auc: FloatArray
    brier: FloatArray
    null: FloatArray
    """Brier score of the Aalen–Johansen estimate of the scored patients themselves, the same for everyone."""
    ipa: FloatArray


def over_time(at: AtLandmark, n_bootstrap: int, rng: np.random.Generator) -> OverTime | None:
    """Scores at times by which at least `SMALLEST` patients had the event; None where there is no such time.

    Percentile intervals over patients; in each resample the censoring distribution and the null model are estimated
    anew, with the predictions held fixed, as in `training.evaluation.scores.evaluate`.
    """
    known = scorable_times(at.outcomes, at.times_days)
    place = np.arange(len(known))[::-1][::EVERY][::-1]
    happened = (at.outcomes.cause == 1)[:, None] & (at.outcomes.duration_days[:, None] <= known[place])
    place = place[happened.sum(axis=0) >= SMALLEST]
    if not len(place):
        return None
    times, incidence = known[place], at.incidence[..., place]

    def measured(weights: ScoringWeights) -> FloatArray:
        """Shape (..., 4, times)."""
        brier = brier_score(incidence, times, at.outcomes, weights)[..., 0, :]
        null = null_brier_score(times, at.outcomes, weights)[..., 0, :]
        order = auc(incidence, times, at.outcomes, weights, at.fold)[..., 0, :]
        return np.stack([order, brier, null, prediction_accuracy(brier, null)], axis=-2)

    point = measured(scoring_weights(at.outcomes, times))
    blocks = resample_patients(at.patient_id, n_bootstrap, rng)
    draws = np.concatenate([measured(scoring_weights(at.outcomes, times, resamples=block)) for block in blocks])
    bounds = np.array(
        [
            [_triple(point[which, j], draws[:, which, j]) for j in range(len(times))]
            for which in range(4)
        ]
    )  # fmt: skip
    return OverTime(times, *bounds)


def _triple(point: float, draws: FloatArray) -> tuple[float, float, float]:
    interval = percentile_interval(float(point), draws)
    return interval.point, interval.low, interval.high


@dataclass(frozen=True, slots=True)
class Calibration:
    """Observed against predicted risk of the event of interest at one horizon."""

    horizon_days: float
    risk: FloatArray
    """(points,): predicted, ascending, the central 98 %."""
    observed: FloatArray
    """(points,): the smooth curve at these risks."""
    groups: tuple[CalibrationGroup, ...]


def calibration(at: AtLandmark, horizon_days: float) -> Calibration | None:
    """The curve through pseudo-values, and groups of equal size; None where too few events tell anything.

    See `training.evaluation.calibration_curve.smoothed_observed` and `calibration_groups`.
    """
    happened = (at.outcomes.cause == 1) & (at.outcomes.duration_days <= horizon_days)
    known = scorable_times(at.outcomes, at.times_days)[-1]
    if happened.sum() < SMALLEST or horizon_days > known:
        return None
    risk = at_horizons(at.incidence[:, 0], at.times_days, np.array([horizon_days]))[:, 0]
    pseudo = pseudo_values(at.outcomes, np.array([horizon_days]))[:, 0, 0]
    order = np.argsort(risk, kind="stable")
    low, high = np.quantile(risk, [0.01, 0.99])
    inside = order[(risk[order] >= low) & (risk[order] <= high)]
    n_groups = int(np.clip(happened.sum() // EVENTS_A_GROUP, 1, MOST_GROUPS))
    groups = calibration_groups(risk, at.outcomes, 1, horizon_days, n_groups=n_groups)
    curve = smoothed_observed(risk, pseudo)[inside]
    few = np.unique(np.linspace(0, len(inside) - 1, 60).astype(int))  # a curve of 60 points, not of every patient
    return Calibration(horizon_days, risk[inside][few], curve[few], tuple(groups))
