"""The calibration curve at a horizon, and how far it is from the diagonal: ICI, E50, E90, Emax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KNOTS = (0.1, 0.5, 0.9)
"""Quantiles of the risk at the knots of a restricted cubic spline (Harrell, Regression Modeling Strategies, 2015)."""


@dataclass(frozen=True, slots=True)
class CalibrationDistances:
    """Distances ``|curve(risk_i) − risk_i|`` over the rows, each of shape (...)."""

    ici: NDArray[np.float64]
    """Their mean, the integrated calibration index."""
    e50: NDArray[np.float64]
    """Their median."""
    e90: NDArray[np.float64]
    """Their 90th percentile."""
    emax: NDArray[np.float64]
    """The largest."""


def smoothed_observed(
    risk: NDArray[np.float64], pseudo: NDArray[np.float64], resamples: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The calibration curve at each row's own risk, shape (..., rows), in [0, 1].

    Least-squares regression of the pseudo-values on a restricted cubic spline of the predicted risk, identity link:
    a calibrated prediction lies in its span (pseudo-values for calibration: Gerds, Andersen & Kattan, Stat Med
    2014;33:3191–3203; van Geloven et al., BMJ 2022;377:e069249). With few distinct risks it is a line or a mean.

    Args:
        risk: (rows,), predicted risk of one cause at one horizon.
        pseudo: (rows,), from `pseudo_values`, of the same cause and horizon.
        resamples: (resamples, rows), how often each row counts; the pseudo-values stay those of the sample, which is
            to first order the same as estimating them anew, as they are the estimate's derivatives.
    """
    row = np.ones(len(risk)) if resamples is None else resamples
    basis = _spline(risk)
    size = basis.shape[1]
    products = (basis[:, :, None] * basis[:, None, :]).reshape(len(risk), size * size)
    gram = (row @ products).reshape(*row.shape[:-1], size, size)
    # Resamples may hold a single distinct risk; the pseudo-inverse then drops what they do not determine.
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    coefficients = np.einsum("...ij,...j->...i", inverse, row @ (basis * pseudo[:, None]))
    curve: NDArray[np.float64] = np.clip(coefficients @ basis.T, 0.0, 1.0)
    return curve


def calibration_distances(
    risk: NDArray[np.float64], pseudo: NDArray[np.float64], resamples: NDArray[np.float64] | None = None
) -> CalibrationDistances:
    """ICI, E50, E90 and Emax, each of shape (...): summaries of ``|curve(risk_i) − risk_i|`` over the rows.

    Austin, Putter, Giardiello & van Klaveren, Diagn Progn Res 2022;6:2, who smooth by a Fine–Gray model; the curve here
    is that of `smoothed_observed`. They are absolute values: in few patients they are above 0 for a calibrated
    prediction too. Arguments as in `smoothed_observed`; the resamples are whole numbers.
    """
    row = np.ones(len(risk)) if resamples is None else resamples
    gap = np.abs(smoothed_observed(risk, pseudo, resamples) - risk)
    e50, e90, emax = _repeated_quantiles(gap, row, (0.5, 0.9, 1.0))
    return CalibrationDistances((row * gap).sum(axis=-1) / row.sum(axis=-1), e50, e90, emax)


def _repeated_quantiles(
    values: NDArray[np.float64], counts: NDArray[np.float64], levels: tuple[float, ...]
) -> list[NDArray[np.float64]]:
    """Quantiles (...) of values (..., rows) repeated `counts` times, linear between two as in `numpy.quantile`."""
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    reached = np.cumsum(np.take_along_axis(counts, order, axis=-1), axis=-1)
    found = []
    for level in levels:
        place = level * (reached[..., -1:] - 1)
        below, above = (
            np.take_along_axis(ordered, (reached > at).argmax(axis=-1, keepdims=True), axis=-1)
            for at in (np.floor(place), np.ceil(place))
        )
        found.append((below + (place - np.floor(place)) * (above - below))[..., 0])
    return found


def _spline(risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns 1, risk, and the restricted cubic term of three knots (Harrell 2015, 2.4.5), centred and scaled."""
    low, middle, high = np.quantile(risk, KNOTS)
    columns = [risk]
    if low < middle < high:
        cubes = [np.maximum(risk - knot, 0.0) ** 3 for knot in (low, middle, high)]
        toward_high = (high - low) / (high - middle)
        toward_middle = (middle - low) / (high - middle)
        columns.append((cubes[0] - toward_high * cubes[1] + toward_middle * cubes[2]) / (high - low) ** 2)
    kept = [(column - column.mean()) / column.std() for column in columns if column.std() > 0]
    return np.column_stack([np.ones(len(risk)), *kept])
