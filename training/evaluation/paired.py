"""Predictions of the same patients, each scored on the same resamples: differences of them are paired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import check_prediction
from training.evaluation.intervals import VALUES_AT_ONCE, resample_patients
from training.evaluation.measures import Measured, Subject
from training.evaluation.net_benefit import net_benefit


def sample_and_resamples(
    patient_id: Sequence[Any] | NDArray[Any], n_bootstrap: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(1 + n_bootstrap, rows): how often each row counts, in the sample itself and when patients are drawn."""
    whole = np.ones((1, len(patient_id)))
    return np.concatenate([whole, *resample_patients(patient_id, n_bootstrap, rng)])


def repeated_accuracy(
    incidence: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    horizons_days: Sequence[float],
    draws: NDArray[np.float64],
    fold: NDArray[np.int64] | None = None,
) -> Measured:
    """Brier score, IPA and discrimination of a repeated cross-validation: in each draw the mean over its repeats.

    So an interval is that of the mean score, which is what repeats are for: patients are drawn, repeats are not.

    Args:
        incidence: (repeats, rows, causes, times), predicted out of fold.
        times_days: (times,), ascending.
        outcomes: What happened to the rows.
        horizons_days: Ascending; interpolated linearly between times.
        draws: (draws, rows), from `sample_and_resamples`; all draws of rows of one landmark.
        fold: (repeats, rows): whose model predicted the row; AUC and concordance compare rows of one fold. None: one
            model's.

    Returns:
        By metric, as in `Subject.accuracy`: (draws, causes), those at horizons (draws, causes, horizons).

    Raises:
        SequelaError: Rows observed only after the landmark, or no time about which anything is known.
        ValueError: Shapes that do not fit, or a horizon after the last time.
    """
    horizons = np.asarray(horizons_days, dtype=np.float64)
    for repeat in incidence:
        check_prediction(repeat, times_days, outcomes)
    of_repeat = [None] * len(incidence) if fold is None else fold
    subjects = [
        Subject(repeat, times_days, outcomes, horizons, fold=folds)
        for repeat, folds in zip(incidence, of_repeat, strict=True)
    ]
    blocks = [[subject.accuracy(block) for subject in subjects] for block in _blocks(draws)]
    return {
        name: np.concatenate([np.mean([one[name] for one in block], axis=0) for block in blocks])
        for name in blocks[0][0]
    }


def repeated_net_benefit(
    risk: NDArray[np.float64],
    outcomes: Outcomes,
    horizon_days: float,
    thresholds: Sequence[float],
    draws: NDArray[np.float64],
    cause: int = 1,
) -> NDArray[np.float64]:
    """Net benefit (draws, thresholds) of treating by predicted risk (repeats, rows): the mean over repeats."""

    def of(block: NDArray[np.float64]) -> NDArray[np.float64]:
        found = [net_benefit(repeat, outcomes, cause, horizon_days, thresholds, block) for repeat in risk]
        mean: NDArray[np.float64] = np.mean(found, axis=0)
        return mean

    return np.concatenate([of(block) for block in _blocks(draws)])


def _blocks(draws: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The draws in parts of bounded size."""
    size = max(1, VALUES_AT_ONCE // draws.shape[1])
    return [draws[start : start + size] for start in range(0, len(draws), size)]
