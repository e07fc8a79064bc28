"""Estimates of strategies with intervals, and each strategy against the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.stats import t as student

from training.effects.estimates import NAN, QUANTILE, Estimate, difference, ratio
from training.effects.risks import Measure, Table
from training.evaluation.intervals import LEVEL
from training.strategies.followed import FloatArray


def contrasts(
    points: FloatArray, resampled: FloatArray, measure: Measure, effective: FloatArray
) -> tuple[tuple[Table, ...], ...]:
    """Estimates of every strategy; differences of each but the first to it; ratios likewise.

    The standard error is the spread of the resamples, of a ratio that of its logarithm. Intervals are those of the
    normal distribution, of a risk on log(−log(1 − F)), widened by Student's quantile over the normal one: few patients
    stand for a strategy late on, and the spread itself is then not well known. Its degrees of freedom are one less than
    the effective number of the strategy, of a contrast that of the one with fewer. P-values go with the intervals. A
    ratio has none where an estimate or a resample is 0.

    Args:
        points: (strategies, causes, horizons).
        resampled: (resamples, strategies, causes, horizons): the same of patients drawn with replacement.
        measure: Risk or time lost.
        effective: (strategies, horizons): how many patients the clones are worth.
    """
    widened = student.ppf((1 + LEVEL) / 2, np.maximum(effective - 1, 1.0)) / QUANTILE
    wider = np.maximum(widened[1:], widened[:1])
    tables = _tables(points, resampled, widened, measure.estimate)
    differences = _tables(points[1:] - points[0], resampled[:, 1:] - resampled[:, :1], wider, difference)
    logs = _log(points[1:]) - _log(points[0])
    ratios = _tables(logs, _log(resampled[:, 1:]) - _log(resampled[:, :1]), wider, ratio)
    return tables, differences, ratios


def _tables(
    points: FloatArray, resampled: FloatArray, widened: FloatArray, make: Callable[[float, float], Estimate]
) -> tuple[Table, ...]:
    """By strategy; the standard error is that of the resamples, the interval that of a wider one."""
    errors = resampled.std(axis=0, ddof=1)
    return tuple(
        tuple(
            tuple(
                replace(make(float(p), float(e * w)), standard_error=float(e) if e > 0 else NAN)
                for p, e, w in zip(*row, factors, strict=True)
            )
            for row in zip(*own, strict=True)
        )
        for *own, factors in zip(points, errors, widened, strict=True)
    )


def _log(values: FloatArray) -> FloatArray:
    found: FloatArray = np.log(np.where(values > 0, values, NAN))
    return found
