"""Observed risk of reweighted patients, where enough are followed to tell it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.models.nonparametric import EXHAUSTED, aalen_johansen


def risk_by(
    outcomes: Outcomes, cause: int, horizon_days: float, row: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Aalen–Johansen risk (...) of a cause by a horizon; censoring is assumed independent of the causes.

    NaN if there is nobody, or if all who had no event were lost before the horizon.

    Args:
        outcomes: What happened to the rows.
        cause: 1, 2, …
        horizon_days: The horizon.
        row: (..., rows), how often each row counts; None: once.
    """
    row = np.ones(len(outcomes)) if row is None else row
    if not len(outcomes):
        return np.full(row.shape[:-1], np.nan)
    curve = aalen_johansen(outcomes, row)
    step = np.searchsorted(curve.times_days, horizon_days, side="right") - 1
    free = curve.event_free[..., step] if step >= 0 else np.ones(row.shape[:-1])
    followed = row[..., outcomes.duration_days >= horizon_days].sum(axis=-1) > 0
    at = curve.at(np.array([horizon_days]))[..., cause - 1, 0]
    found: NDArray[np.float64] = np.where(followed | (free < EXHAUSTED), at, np.nan)
    return found
