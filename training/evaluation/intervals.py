"""Intervals: patients are drawn with replacement, and every metric is computed again with their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import at_horizons
from training.evaluation.brier import brier_score, integrate
from training.evaluation.ipcw import scorable_times, scoring_weights

LEVEL = 0.95
VALUES_AT_ONCE = 4_000_000
"""Resamples × rows held at a time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval; bounds are NaN where there is none."""

    point: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Scores of a first prediction less those of a second on the same patients; below 0 the first is better."""

    ibs: tuple[Interval, ...]
    """By cause: difference of the integrated Brier scores."""
    brier: tuple[tuple[Interval, ...], ...]
    """By cause and horizon: difference of the Brier scores."""


def resample_patients(
    patient_id: Sequence[Any] | NDArray[Any], n_bootstrap: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """How often each row is drawn when patients are drawn with replacement, all rows of a patient together.

    Yields:
        Blocks (resamples, rows), `n_bootstrap` resamples in all, bounded in memory.
    """
    patients, of_row = np.unique(np.asarray(patient_id), return_inverse=True)
    block = max(1, VALUES_AT_ONCE // len(of_row))
    for start in range(0, n_bootstrap, block):
        size = min(block, n_bootstrap - start)
        drawn = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=size)
        yield drawn[:, of_row].astype(np.float64)


def percentile_interval(point: float, draws: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """The central `level` of the draws (resamples,); resamples without a value are left out.

    Efron & Tibshirani 1993, ch. 13. No bounds (NaN) without a point, or if half of the resamples have no value.
    """
    known = draws[np.isfinite(draws)]
    if not np.isfinite(point) or 2 * len(known) <= len(draws):
        return Interval(point, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, float(low), float(high))


def paired_difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: Sequence[Any] | NDArray[Any],
    *,
    rng: np.random.Generator,
    horizons_days: Sequence[float] = (),
    n_bootstrap: int = 1000,
) -> PairedDifference:
    """Difference of Brier scores of two predictions on the same patients, drawn together in each resample.

    The pairing removes the variation that both share, so this interval is much narrower than those of the two scores.
    It holds the two predictions fixed: it speaks of these predictions, not of fitting again on other patients.

    Args:
        first: (rows, causes, times), predicted incidence.
        second: (rows, causes, times), predicted incidence.
        times_days: (times,), ascending. The integral runs from 0 to the last one about which anything is known.
        outcomes: What happened to the rows.
        patient_id: (rows,), the unit that is drawn.
        rng: Source of the resamples.
        horizons_days: Where the Brier score itself is compared.
        n_bootstrap: Number of resamples; 0: no intervals.

    Raises:
        SequelaError: Rows observed only after the landmark, or no time about which anything is known.
        ValueError: Shapes that do not fit, or a horizon after the last time.
    """
    grid = scorable_times(outcomes, times_days)
    horizons = np.asarray(horizons_days, dtype=np.float64)
    at_grid = [model[..., : len(grid)] for model in (first, second)]
    at_horizon = [at_horizons(model, times_days, horizons) for model in (first, second)]

    def differences(resamples: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Shape (..., causes, 1 + horizons)."""
        weights = scoring_weights(outcomes, grid, resamples=resamples)
        ibs = [integrate(brier_score(model, grid, outcomes, weights), grid) for model in at_grid]
        columns = [(ibs[0] - ibs[1])[..., None]]
        if len(horizons):
            weights = scoring_weights(outcomes, horizons, resamples=resamples)
            brier = [brier_score(model, horizons, outcomes, weights) for model in at_horizon]
            columns.append(brier[0] - brier[1])
        return np.concatenate(columns, axis=-1)

    point = differences(None)
    blocks = [differences(block) for block in resample_patients(patient_id, n_bootstrap, rng)]
    draws = np.concatenate(blocks) if blocks else np.empty((0, *point.shape))
    table = [
        tuple(percentile_interval(float(point[k, j]), draws[:, k, j]) for j in range(point.shape[1]))
        for k in range(len(outcomes.causes))
    ]
    return PairedDifference(tuple(row[0] for row in table), tuple(row[1:] for row in table))
