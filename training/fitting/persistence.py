"""How long laboratory values stay what they were, from successive values of patients; see `features.persistence`.

Normal scores of the values have a mean course over days, which all patients share, by least squares: linear between a
few days. Without it, what falls in everyone would be taken for what lasts in each. Share and days are those of the
largest composite likelihood of pairs of successive residuals (Lindsay, Contemp Math 1988;80:221), over a grid. Nothing
of anyone is kept but these numbers and rounded quantiles of all values.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from features.drift import rounded
from features.patients import FloatArray, IntArray, Measurements
from features.persistence import Persistence

FEWEST_PATIENTS, FEWEST_PAIRS = 10, 30
MOST_PAIRS = 20_000
SHARES = np.linspace(0.0, 0.99, 34)
DAYS = np.geomspace(1.0, 1000.0, 31)
FEWEST_AT_KNOT, MOST_KNOTS = 20, 12
"""Values for each day at which the course is told; and how many such days there are at most."""
SMALLEST_SPREAD = 0.01
"""Of scores around the course; below it the day alone tells the value, and nothing is left to last."""
QUANTILES = np.array([2.5, 5.0, *range(10, 100, 10), 95.0, 97.5]) / 100
AROUND_DAYS = 30.0
"""Before the first landmark and after the last, from which values are looked at: those whom the model is asked of."""


def persistences(measurements: Measurements, landmark_days: tuple[float, ...]) -> dict[str, Persistence]:
    """Of each variable that enough patients have several values of around the landmarks.

    Args:
        measurements: One row a patient.
        landmark_days: Of the endpoint, ascending. Values of before and of long after are of other courses.
    """
    first, last = landmark_days[0] - AROUND_DAYS, landmark_days[-1] + AROUND_DAYS
    around = (measurements.day >= first) & (measurements.day <= last)
    found = {}
    for number, name in enumerate(measurements.names):
        own = np.flatnonzero(around & (measurements.variable == number))
        one = persistence(measurements.row[own], measurements.day[own], measurements.value[own])
        if one is not None:
            found[name] = one
    return found


def persistence(row: IntArray, day: FloatArray, value: FloatArray) -> Persistence | None:
    """Of values (values,) taken of patients `row` on days `day`; None with too few pairs."""
    order = np.lexsort((day, row))
    row, day, value = row[order], day[order], value[order]
    first = np.flatnonzero((row[1:] == row[:-1]) & (day[1:] > day[:-1]))
    quantiles = _quantiles(value) if len(first) >= FEWEST_PAIRS else ()
    if len(np.unique(row[first])) < FEWEST_PATIENTS or len(quantiles) < 2:
        return None
    score = ndtri(rankdata(value) / (len(value) + 1))
    knots, means = mean_course(day, score)
    residual = score - np.interp(day, knots, means)
    spread = float(np.sqrt((residual**2).sum() / (len(day) - len(knots))))
    if spread < SMALLEST_SPREAD:
        return None
    first = first[:: -(-len(first) // MOST_PAIRS)]
    lag, one, other = day[first + 1] - day[first], residual[first] / spread, residual[first + 1] / spread
    likelihood = np.array([_log_likelihood(SHARES[:, None] * np.exp(-lag / days), one, other) for days in DAYS])
    best = np.unravel_index(int(likelihood.argmax()), likelihood.shape)
    return Persistence(
        share=float(SHARES[best[1]]),
        days=float(DAYS[best[0]]),
        course=tuple(zip(knots.tolist(), means.tolist(), strict=True)),
        spread=spread,
        values=quantiles,
    )


def mean_course(day: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(knots,) days and mean scores: the line through them is that of least squares to scores (values,) on `day`.

    Knots are quantiles of the days, rounded to whole ones, so that as many values lie between any two.
    """
    n_knots = min(max(len(day) // FEWEST_AT_KNOT, 1), MOST_KNOTS)
    knots = np.unique(np.round(np.quantile(day, np.linspace(0, 1, n_knots))))
    weights = np.column_stack([np.interp(day, knots, own) for own in np.eye(len(knots))])
    means = np.linalg.lstsq(weights, score)[0].astype(np.float64)
    return knots, means


def _quantiles(value: FloatArray) -> tuple[tuple[float, float], ...]:
    """Rounded quantiles of values (values,), each with the share below it: that of the middle of its rank."""
    bounds = np.array(rounded(np.quantile(value, QUANTILES)))
    ordered = np.sort(value)
    below, up_to = np.searchsorted(ordered, bounds, side="left"), np.searchsorted(ordered, bounds, side="right")
    shares = ((below + up_to + 1) / 2) / (len(value) + 1)
    return tuple(zip(bounds.tolist(), shares.tolist(), strict=True))


def _log_likelihood(correlation: FloatArray, one: FloatArray, other: FloatArray) -> FloatArray:
    """(shares,): of standard bivariate normal pairs with correlations (shares, pairs), but for a constant."""
    rest = 1 - correlation**2
    squares = (one**2 - 2 * correlation * one * other + other**2) / rest
    found: FloatArray = -0.5 * (np.log(rest) + squares).sum(axis=-1)
    return found
