"""Small array helpers shared by the metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quotient, and NaN without a warning where the denominator is 0 or NaN."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=(denominator != 0) & ~np.isnan(denominator))
    return quotient


def running_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (…, n + 1) of the first 0, 1, …, n values (…, n) along the last axis."""
    return np.concatenate([np.zeros_like(values[..., :1]), np.cumsum(values, axis=-1)], axis=-1)


def changes(values: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first does."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]


def at_horizons(
    incidence: NDArray[np.float64], times_days: NDArray[np.float64], horizons_days: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Incidence (..., horizons) read off a grid (..., times), linear between its times and from 0 at day 0.

    Raises:
        ValueError: A horizon lies after the last time.
    """
    if horizons_days.max(initial=0.0) > times_days[-1]:
        msg = f"horizon of {horizons_days.max():g} days is after the last predicted time, {times_days[-1]:g} days"
        raise ValueError(msg)
    grid = np.concatenate([[0.0], times_days])
    values = np.concatenate([np.zeros_like(incidence[..., :1]), incidence], axis=-1)
    right = np.clip(np.searchsorted(grid, horizons_days), 1, len(grid) - 1)
    gap = grid[right] - grid[right - 1]
    share = np.divide(horizons_days - grid[right - 1], gap, out=np.ones_like(gap), where=gap > 0)
    found: NDArray[np.float64] = np.where(
        share == 1.0, values[..., right], values[..., right - 1] * (1 - share) + values[..., right] * share
    )
    return found


def check_prediction(incidence: NDArray[np.float64], times_days: NDArray[np.float64], outcomes: Outcomes) -> None:
    """Refuse predictions that do not belong to the outcomes.

    Raises:
        ValueError: A wrong shape, a value that is not finite, or times that are negative or do not ascend.
    """
    expected = (len(outcomes), len(outcomes.causes), len(times_days))
    if incidence.shape != expected:
        msg = f"incidence of shape {incidence.shape}; expected (rows, causes, times) = {expected}"
        raise ValueError(msg)
    if not np.isfinite(incidence).all():
        msg = "incidence must be finite"
        raise ValueError(msg)
    if len(times_days) == 0 or times_days[0] < 0 or (np.diff(times_days) <= 0).any():
        msg = "times_days must ascend from 0 or later"
        raise ValueError(msg)
