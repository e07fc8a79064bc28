"""Cumulative incidence by arm, and its differences and ratios at horizons."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, hypot, log

import numpy as np

from training.effects.arms import Arms, FloatArray
from training.effects.estimates import NAN, QUANTILE, Estimate, difference, ratio_of
from training.evaluation.pseudo import influence
from training.models.nonparametric import aalen_johansen

Table = tuple[tuple[Estimate, ...], ...]
"""By cause and horizon."""


def arm_risks(arms: Arms, horizons_days: FloatArray) -> tuple[Table, ...]:
    """Aalen–Johansen incidence by arm.

    Standard errors are the infinitesimal jackknife's, as R's `survival::survfit` has them for several states; intervals
    are symmetric in log(−log(1 − F)), without bounds where F is 0 or 1. Strata are not looked at.
    """
    found = []
    for k in range(len(arms.names)):
        outcomes = arms.of(k)
        errors = np.sqrt((influence(outcomes, horizons_days) ** 2).sum(axis=0))
        found.append(table_of(aalen_johansen(outcomes).at(horizons_days), errors, risk))
    return tuple(found)


def differences(by_arm: tuple[Table, ...]) -> tuple[Table, ...]:
    """Each arm less the first, patients of different arms being independent."""
    return tuple(
        _pairwise(table, by_arm[0], lambda a, b: difference(a.point - b.point, hypot(_error(a), _error(b))))
        for table in by_arm[1:]
    )


def ratios(by_arm: tuple[Table, ...]) -> tuple[Table, ...]:
    """Each arm over the first, with intervals on the logarithm; NaN where one of them is 0."""
    return tuple(_pairwise(table, by_arm[0], ratio_of) for table in by_arm[1:])


def table_of(points: FloatArray, errors: FloatArray, make: Callable[[float, float], Estimate]) -> Table:
    """Points and standard errors (causes, horizons) as estimates."""
    return tuple(
        tuple(make(float(point), float(error)) for point, error in zip(*row, strict=True))
        for row in zip(points, errors, strict=True)
    )


def risk(point: float, standard_error: float) -> Estimate:
    """A probability, with an interval between 0 and 1; without a p-value, since no value of it means no effect."""
    if not (0 < point < 1 and standard_error > 0):
        return Estimate(point, NAN, NAN, NAN, NAN)
    survival = 1 - point
    reach = QUANTILE * standard_error / (survival * -log(survival))
    low, high = (1 - survival ** exp(sign * reach) for sign in (-1, 1))
    return Estimate(point, low, high, NAN, standard_error)


def _error(estimate: Estimate) -> float:
    """0 where nobody, or everybody, had the event: the estimate then tells nothing of its own error."""
    return 0.0 if np.isnan(estimate.standard_error) else estimate.standard_error


def _pairwise(first: Table, second: Table, make: Callable[[Estimate, Estimate], Estimate]) -> Table:
    return tuple(tuple(make(a, b) for a, b in zip(*rows, strict=True)) for rows in zip(first, second, strict=True))
