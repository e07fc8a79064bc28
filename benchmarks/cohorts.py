"""Means over a few simulated cohorts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t


def t_interval(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values (cohorts,) and its t interval; bounds are NaN of fewer than two."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    reach = float(student_t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - reach, mean + reach
