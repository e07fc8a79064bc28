"""Estimates of strategies with intervals, and each strategy against the first."""

from __future__ import annotations

import numpy as np

from training.effects.estimates import ABSENT, NAN, Estimate, difference, ratio
from training.effects.risks import Measure, Table, table_of
from training.strategies.followed import FloatArray


def contrasts(points: FloatArray, resampled: FloatArray, measure: Measure) -> tuple[tuple[Table, ...], ...]:
    """Estimates of every strategy; differences of each but the first to it; ratios likewise.

    Intervals are those of the normal distribution, the standard error being the spread of the resamples: of a risk on
    log(−log(1 − F)), of a ratio on its logarithm. A ratio has none where an estimate or a resample is 0.

    Args:
        points: (strategies, causes, horizons).
        resampled: (resamples, strategies, causes, horizons): the same of patients drawn with replacement.
        measure: Risk or time lost.
    """
    tables = tuple(table_of(*one, measure.estimate) for one in zip(points, _spread(resampled), strict=True))
    less, less_drawn = points[1:] - points[0], resampled[:, 1:] - resampled[:, :1]
    differences = tuple(table_of(*one, difference) for one in zip(less, _spread(less_drawn), strict=True))
    over = _log(points[1:]) - _log(points[0])
    over_drawn = _log(resampled[:, 1:]) - _log(resampled[:, :1])
    ratios = tuple(table_of(*one, _ratio) for one in zip(over, _spread(over_drawn), strict=True))
    return tables, differences, ratios


def _spread(resampled: FloatArray) -> FloatArray:
    """Standard deviation over the resamples (resamples, …); NaN where one of them is not known."""
    found: FloatArray = resampled.std(axis=0, ddof=1)
    return found


def _log(values: FloatArray) -> FloatArray:
    found: FloatArray = np.log(np.where(values > 0, values, NAN))
    return found


def _ratio(log_ratio: float, standard_error: float) -> Estimate:
    return ratio(log_ratio, standard_error) if np.isfinite(log_ratio) else ABSENT
