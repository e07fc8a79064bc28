"""Observed against predicted risk at a horizon: in groups, in the large, and as a smooth curve."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import ratio
from training.evaluation.intervals import LEVEL, Interval
from training.evaluation.pseudo import influence
from training.models.nonparametric import aalen_johansen

KNOTS = (0.1, 0.5, 0.9)
"""Quantiles of the risk at the knots of a restricted cubic spline (Harrell, Regression Modeling Strategies, 2015)."""


@dataclass(frozen=True, slots=True)
class CalibrationGroup:
    """Rows of similar predicted risk."""

    predicted: float
    """Mean predicted risk."""
    observed: Interval
    """Aalen–Johansen estimate within the group."""
    n_rows: int
    n_events: int
    """Events of the cause by the horizon."""


def calibration_groups(
    risk: NDArray[np.float64], outcomes: Outcomes, cause: int, horizon_days: float, *, n_groups: int = 10
) -> list[CalibrationGroup]:
    """Observed against predicted risk in groups between quantiles of the predicted risk, lowest first.

    Equal risks are never split, so there may be fewer groups. The interval is symmetric in log(−log(1 − F)), its
    standard error the infinitesimal jackknife's; it has no bounds where nobody or everybody had the event.

    Args:
        risk: (rows,), predicted risk of the cause at the horizon.
        outcomes: What happened to the rows; within a group, censoring is assumed independent of the causes.
        cause: 1, 2, …
        horizon_days: The horizon.
        n_groups: Number of groups aimed at.

    Raises:
        ValueError: Fewer than one group, or risks that do not fit the outcomes.
    """
    if n_groups < 1 or risk.shape != (len(outcomes),):
        msg = f"{n_groups} groups of risks of shape {risk.shape}; at least one group, one risk for each row"
        raise ValueError(msg)
    inner = np.quantile(risk, np.arange(1, n_groups) / n_groups)
    number = np.searchsorted(inner, risk, side="left")
    groups = []
    for group in np.unique(number):
        rows = np.flatnonzero(number == group)
        own = outcomes.take(rows)
        happened = (own.cause == cause) & (own.duration_days <= horizon_days)
        observed = observed_risk(own, cause, horizon_days)
        groups.append(CalibrationGroup(float(risk[rows].mean()), observed, len(rows), int(happened.sum())))
    return groups


def observed_risk(outcomes: Outcomes, cause: int, horizon_days: float) -> Interval:
    """Aalen–Johansen risk at a horizon, with an interval symmetric in log(−log(1 − F)) (see `calibration_groups`)."""
    point, error = _estimate(outcomes, cause, horizon_days)
    if not 0 < point < 1:
        return Interval(point, np.nan, np.nan)
    survival = 1 - point
    reach = _quantile() * error / (survival * -np.log(survival))
    low, high = (1 - survival ** np.exp(sign * reach) for sign in (-1, 1))
    return Interval(point, float(low), float(high))


def calibration_in_the_large(
    risk: NDArray[np.float64], outcomes: Outcomes, cause: int, horizon_days: float
) -> Interval:
    """O/E: Aalen–Johansen risk over mean predicted risk (rows,), with an interval symmetric in log(O/E).

    The predicted risks are taken as given; the standard error of log O is that of O over O (delta method). Above 1 the
    predictions are too low. van Geloven et al., BMJ 2022;377:e069249.
    """
    point, error = _estimate(outcomes, cause, horizon_days)
    expected = float(risk.mean())
    if point <= 0 or expected <= 0:
        return Interval(float(ratio(np.array(point), np.array(expected))), np.nan, np.nan)
    reach = float(np.exp(_quantile() * error / point))
    return Interval(point / expected, point / expected / reach, point / expected * reach)


def observed_over_expected(
    risk: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    resamples: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """O/E of risks (rows, causes, times), shape (..., causes, times), `...` being the resamples (resamples, rows).

    NaN where every predicted risk is 0.
    """
    row = np.ones(len(outcomes)) if resamples is None else resamples
    observed = aalen_johansen(outcomes, row).at(times_days)
    expected = np.tensordot(row, risk, axes=1) / row.sum(axis=-1)[..., None, None]
    return ratio(observed, expected)


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


def integrated_calibration_index(
    risk: NDArray[np.float64], pseudo: NDArray[np.float64], resamples: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """ICI = 1/n Σ_i |curve(risk_i) − risk_i|, shape (...), the curve being that of `smoothed_observed`.

    Austin, Putter, Giardiello & van Klaveren, Diagn Progn Res 2022;6:2, who smooth by a Fine–Gray model instead. It is
    an absolute value: in few patients it is above 0 for a calibrated prediction too.
    """
    row = np.ones(len(risk)) if resamples is None else resamples
    gap = np.abs(smoothed_observed(risk, pseudo, resamples) - risk)
    index: NDArray[np.float64] = (row * gap).sum(axis=-1) / row.sum(axis=-1)
    return index


def _estimate(outcomes: Outcomes, cause: int, horizon_days: float) -> tuple[float, float]:
    """Aalen–Johansen risk and its standard error."""
    at = np.array([horizon_days])
    error = np.sqrt((influence(outcomes, at)[:, cause - 1, 0] ** 2).sum())
    return float(aalen_johansen(outcomes).at(at)[cause - 1, 0]), float(error)


def _quantile() -> float:
    return NormalDist().inv_cdf((1 + LEVEL) / 2)


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
