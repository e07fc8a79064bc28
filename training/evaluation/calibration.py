"""Observed against mean predicted risk: in groups and in the large at a horizon, and over all times."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import ratio
from training.evaluation.brier import integrate
from training.evaluation.intervals import LEVEL, Interval
from training.evaluation.pseudo import influence
from training.models.nonparametric import aalen_johansen

LEAST_AT_RISK = 0.05
"""Share of the rows that must still be followed at a time for `aj_calibration` to count it."""


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


def aj_calibration(
    incidence: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    resamples: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Mean over time of the squared difference of mean predicted and Aalen–Johansen incidence, shape (..., causes).

    1/t_max ∫ (mean_i F_k(t|i) − F_k^AJ(t))² dt, from day 0 to the last of the times at which at least a share of
    `LEAST_AT_RISK` of the rows is followed (Alberge, Haugomat, Varoquaux & Abécassis, On the calibration of survival
    models with competing risks, arXiv 2602.00194, as `hazardous.metrics.aj_calibration_per_event` has it with its
    defaults; it starts at the first time given). 0 says that the prediction is right on average, no more: the
    Aalen–Johansen estimate has 0. NaN where no time is left.

    Args:
        incidence: (rows, causes, times), predicted.
        times_days: (times,), ascending.
        outcomes: What happened to the rows.
        resamples: (resamples, rows), how often each row counts; the times stay those of the sample.
    """
    row = np.ones(len(outcomes)) if resamples is None else resamples
    followed = (outcomes.duration_days[:, None] >= times_days).mean(axis=0) >= LEAST_AT_RISK
    kept = int(followed.sum())
    if kept == 0 or times_days[kept - 1] == 0:
        return np.full((*row.shape[:-1], len(outcomes.causes)), np.nan)
    times = times_days[:kept]
    expected = np.tensordot(row, incidence[..., :kept], axes=1) / row.sum(axis=-1)[..., None, None]
    return integrate((expected - aalen_johansen(outcomes, row).at(times)) ** 2, times)


def _estimate(outcomes: Outcomes, cause: int, horizon_days: float) -> tuple[float, float]:
    """Aalen–Johansen risk and its standard error."""
    at = np.array([horizon_days])
    error = np.sqrt((influence(outcomes, at)[:, cause - 1, 0] ** 2).sum())
    return float(aalen_johansen(outcomes).at(at)[cause - 1, 0]), float(error)


def _quantile() -> float:
    return NormalDist().inv_cdf((1 + LEVEL) / 2)
