"""Intervals: patients are drawn with replacement, and every metric is computed again with their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
VALUES_AT_ONCE = 4_000_000
"""Resamples × rows held at a time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval; bounds are NaN where there is none."""

    point: float
    low: float
    high: float


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
