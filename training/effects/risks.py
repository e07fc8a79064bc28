"""Cumulative incidence by arm, and its differences and ratios at horizons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import expm1, log1p

import numpy as np

from features.outcomes import Outcomes
from training.effects.arms import Arms, FloatArray
from training.effects.estimates import NAN, QUANTILE, Estimate, difference_of, exponential, ratio_of
from training.evaluation.pseudo import influence
from training.models.nonparametric import aalen_johansen

Table = tuple[tuple[Estimate, ...], ...]
"""By cause and horizon."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What is compared at horizons: a functional of the Aalen–Johansen estimate of outcomes, rows perhaps weighted."""

    value: Callable[[Outcomes, FloatArray, FloatArray | None], FloatArray]
    """Of outcomes, horizons and weights (rows,) or none: (causes, horizons)."""
    influence: Callable[[Outcomes, FloatArray, FloatArray | None], FloatArray]
    """Its derivatives with respect to the weights: (rows, causes, horizons)."""
    estimate: Callable[[float, float], Estimate]
    """A value and its standard error, with an interval."""
    most: Callable[[FloatArray], FloatArray]
    """Of horizons: the greatest value that it can have at each; the least is 0."""
    gain: Callable[[FloatArray, FloatArray], FloatArray]
    """Of times and horizons, g (horizons, times): the measure of cause k is Σ_s g(s) dF_k(s)."""


def risk(point: float, standard_error: float) -> Estimate:
    """A probability, with an interval symmetric in log(−log(1 − F)), and no p-value: no value of it means no effect.

    There are no bounds where nobody, or everybody, had the event, and where a double does not hold them.
    """
    if not (0 < point < 1 and standard_error > 0):
        return Estimate(point, NAN, NAN, NAN, NAN)
    reach = QUANTILE * standard_error / ((1 - point) * -log1p(-point))
    low, high = (-expm1(log1p(-point) * exponential(sign * reach)) for sign in (-1, 1))
    return Estimate(point, low, high, NAN, standard_error)


def _by_then(times_days: FloatArray, horizons_days: FloatArray) -> FloatArray:
    """(horizons, times): 1 to the horizon."""
    found: FloatArray = (times_days <= np.asarray(horizons_days, dtype=float)[:, None]).astype(float)
    return found


RISK = Measure(
    lambda outcomes, days, weights: aalen_johansen(outcomes, weights).at(days), influence, risk, np.ones_like, _by_then
)


def by_arm(arms: Arms, measure: Measure, horizons_days: FloatArray) -> tuple[Table, ...]:
    """A measure in each arm, strata not being looked at.

    Standard errors are the infinitesimal jackknife's, as R's `survival::survfit` has them for several states.
    """
    found = []
    for k in range(len(arms.names)):
        outcomes = arms.of(k)
        errors = np.sqrt((measure.influence(outcomes, horizons_days, None) ** 2).sum(axis=0))
        found.append(table_of(measure.value(outcomes, horizons_days, None), errors, measure.estimate))
    return tuple(found)


def differences(tables: tuple[Table, ...]) -> tuple[Table, ...]:
    """Each arm less the first, patients of different arms being independent.

    No interval where nobody, or everybody, of an arm had the event: its estimate then tells nothing of its own error.
    """
    return tuple(_pairwise(table, tables[0], difference_of) for table in tables[1:])


def ratios(tables: tuple[Table, ...]) -> tuple[Table, ...]:
    """Each arm over the first, with intervals on the logarithm; NaN where one of them is 0."""
    return tuple(_pairwise(table, tables[0], ratio_of) for table in tables[1:])


def table_of(points: FloatArray, errors: FloatArray, make: Callable[[float, float], Estimate]) -> Table:
    """Points and standard errors (causes, horizons) as estimates."""
    return tuple(
        tuple(make(float(point), float(error)) for point, error in zip(*row, strict=True))
        for row in zip(points, errors, strict=True)
    )


def _pairwise(first: Table, second: Table, make: Callable[[Estimate, Estimate], Estimate]) -> Table:
    return tuple(tuple(make(a, b) for a, b in zip(*rows, strict=True)) for rows in zip(first, second, strict=True))
