"""Calibration intercept and slope of a risk at a horizon, on the scale of the complementary log-log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.arrays import ratio

CLOSEST = 1e-8
"""Risks are kept this far from 0 and 1, where the complementary log-log has no value."""
STEPS = 50
TOLERANCE = 1e-9
LONGEST_STEP = 2.0
"""Of the coefficients: farther steps start where the curve is flat, and do not come back."""
SINGULAR = 1e-12


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """Each of shape (...); NaN where it is not determined."""

    intercept: NDArray[np.float64]
    """0 if the risks are right on average; above 0 they are too low. The slope is held at 1."""
    slope: NDArray[np.float64]
    """1 if the spread of the risks is right; below 1 they are too far apart, as those of an overfitted model are."""


def calibration_line(
    risk: NDArray[np.float64], pseudo: NDArray[np.float64], resamples: NDArray[np.float64] | None = None
) -> CalibrationLine:
    """Intercept a of cll(observed) = a + cll(risk), and slope b of cll(observed) = a' + b cll(risk).

    cll(p) = log(−log(1 − p)). The estimating equations are those of a generalised linear model of the pseudo-values
    with this link, constant variance and independence: Σ_i w_i ∂μ_i (pseudo_i − μ_i) = 0, solved by Gauss–Newton steps
    (Andersen, Klein & Rosthøj, Biometrika 2003;90:15–27; van Geloven et al., BMJ 2022;377:e069249; R's
    `geepack::geese` solves the same). NaN for the slope of a risk that is the same for all, and where the steps do not
    converge, as with no events.

    Args:
        risk: (rows,), predicted risk of one cause at one horizon.
        pseudo: (rows,), from `pseudo_values`, of the same cause and horizon.
        resamples: (resamples, rows), how often each row counts; the pseudo-values stay those of the sample.
    """
    kept = np.clip(risk, CLOSEST, 1 - CLOSEST)
    line = np.log(-np.log1p(-kept))
    nothing, ones = np.zeros_like(line), np.ones_like(line)
    row = ones if resamples is None else resamples
    # Resamples start from the sample's own solution, from which they are a few steps away.
    intercept = _fit(nothing, pseudo, ones, line, np.zeros(2))
    centred = line - line.mean()
    slope = _fit(centred, pseudo, ones, nothing, np.array([intercept[0] + line.mean(), 1.0]))
    if resamples is not None:
        intercept = _fit(nothing, pseudo, row, line, intercept)
        slope = _fit(centred, pseudo, row, nothing, slope)
    return CalibrationLine(intercept[..., 0], slope[..., 1] if centred.any() else np.full(row.shape[:-1], np.nan))


def _fit(
    line: NDArray[np.float64],
    pseudo: NDArray[np.float64],
    row: NDArray[np.float64],
    offset: NDArray[np.float64],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Coefficients (..., 2) of 1 and of the line; the second is 0 where the line is all 0."""
    found = np.broadcast_to(np.nan_to_num(start), (*row.shape[:-1], 2)).copy()
    has_slope = bool(line.any())
    for _ in range(STEPS):
        linear = found[..., :1] + found[..., 1:] * line + offset
        hazard = np.exp(np.minimum(linear, 10.0))
        change = hazard * np.exp(-hazard)
        residual = row * change * (pseudo + np.expm1(-hazard))
        curvature = row * change**2
        step = _solve(curvature, residual, line, has_slope=has_slope)
        found += np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        if not (np.abs(step) > TOLERANCE).any():
            break
    settled = (np.abs(step) <= TOLERANCE).all(axis=-1, keepdims=True)
    return np.where(settled, found, np.nan)


def _solve(
    curvature: NDArray[np.float64], residual: NDArray[np.float64], line: NDArray[np.float64], *, has_slope: bool
) -> NDArray[np.float64]:
    """The Gauss–Newton step (..., 2); NaN where the rows do not determine it."""
    score, weight = residual.sum(axis=-1), curvature.sum(axis=-1)
    if not has_slope:
        return np.stack([ratio(score, weight), np.zeros_like(score)], axis=-1)
    slope_score, cross, square = residual @ line, curvature @ line, curvature @ line**2
    determinant = weight * square - cross**2
    determinant = np.where(determinant > SINGULAR * weight * square, determinant, np.nan)
    first = ratio(square * score - cross * slope_score, determinant)
    return np.stack([first, ratio(weight * slope_score - cross * score, determinant)], axis=-1)
