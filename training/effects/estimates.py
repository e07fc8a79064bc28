"""An estimate with its interval, and a test."""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, hypot, isfinite, log, sqrt
from statistics import NormalDist

from scipy.stats import chi2

from training.evaluation.intervals import LEVEL

QUANTILE = NormalDist().inv_cdf((1 + LEVEL) / 2)
NAN = float("nan")
FURTHEST = 700.0
"""Of a logarithm from 0: about what a double holds, of itself and of its inverse."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate, its 95 % interval, and the two-sided p-value of no effect; NaN where there is none."""

    point: float
    low: float
    high: float
    p: float
    standard_error: float
    """Of the point; of ratios, of their logarithm."""

    @property
    def excludes_no_effect(self) -> bool:
        """Whether p is below 1 − the interval's level."""
        return self.p < 1 - LEVEL


ABSENT = Estimate(NAN, NAN, NAN, NAN, NAN)
"""Where there is none."""


@dataclass(frozen=True, slots=True)
class ChiSquared:
    """A test whose statistic is χ² distributed when nothing differs; NaN where it cannot be had."""

    statistic: float
    degrees: int
    p: float

    @classmethod
    def of(cls, statistic: float, degrees: int) -> ChiSquared:
        """With the upper tail probability of the statistic."""
        return cls(statistic, degrees, float(chi2.sf(statistic, degrees)))


def difference(point: float, standard_error: float) -> Estimate:
    """Wald interval of a mean or a difference, whose null value is 0."""
    if not (isfinite(point) and standard_error > 0):
        return Estimate(point, NAN, NAN, NAN, NAN)
    reach = QUANTILE * standard_error
    p = erfc(abs(point) / standard_error / sqrt(2))
    return Estimate(point, point - reach, point + reach, p, standard_error)


def exponential(value: float) -> float:
    """exp(value); NaN where a double does not hold it."""
    return exp(value) if abs(value) < FURTHEST else NAN


def ratio(log_ratio: float, standard_error: float) -> Estimate:
    """Wald interval on the logarithm of a ratio, whose null value is 1; no bounds where a double does not hold both."""
    on_log = difference(log_ratio, standard_error)
    low, high = exponential(on_log.low), exponential(on_log.high)
    if not (isfinite(low) and isfinite(high)):
        low = high = NAN
    return Estimate(exponential(log_ratio), low, high, on_log.p, on_log.standard_error)


def difference_of(one: Estimate, other: Estimate) -> Estimate:
    """One independent estimate less another; without interval where the error of one of them is not known."""
    return difference(one.point - other.point, hypot(one.standard_error, other.standard_error))


def ratio_of(numerator: Estimate, denominator: Estimate) -> Estimate:
    """Ratio of two independent positive estimates, by the delta method; NaN where one of them is not positive."""
    if not (numerator.point > 0 and denominator.point > 0):
        return ABSENT
    relative = (numerator.standard_error / numerator.point, denominator.standard_error / denominator.point)
    return ratio(log(numerator.point / denominator.point), sqrt(relative[0] ** 2 + relative[1] ** 2))
