"""How long laboratory values stay what they were, from successive values of patients; see `features.persistence`.

Share and days are those of the largest composite likelihood of pairs of successive values (Lindsay, Contemp Math
1988;80:221), over a grid. Nothing of anyone is kept but these two numbers.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from features.patients import FloatArray, IntArray, Measurements
from features.persistence import Persistence

FEWEST_PATIENTS, FEWEST_PAIRS = 10, 30
MOST_PAIRS = 20_000
SHARES = np.linspace(0.0, 0.99, 34)
DAYS = np.geomspace(1.0, 1000.0, 31)


def persistences(measurements: Measurements) -> dict[str, Persistence]:
    """Of each variable that enough patients have several values of.

    Args:
        measurements: One row a patient.
    """
    found = {}
    for number, name in enumerate(measurements.names):
        own = np.flatnonzero(measurements.variable == number)
        one = persistence(measurements.row[own], measurements.day[own], measurements.value[own])
        if one is not None:
            found[name] = one
    return found


def persistence(row: IntArray, day: FloatArray, value: FloatArray) -> Persistence | None:
    """Of values (values,) taken of patients `row` on days `day`; None with too few pairs."""
    score = ndtri(rankdata(value) / (len(value) + 1))
    order = np.lexsort((day, row))
    row, day, score = row[order], day[order], score[order]
    first = np.flatnonzero((row[1:] == row[:-1]) & (day[1:] > day[:-1]))
    if len(first) < FEWEST_PAIRS or len(np.unique(row[first])) < FEWEST_PATIENTS or np.ptp(value) == 0:
        return None
    first = first[:: -(-len(first) // MOST_PAIRS)]
    lag, one, other = day[first + 1] - day[first], score[first], score[first + 1]
    likelihood = np.array([_log_likelihood(SHARES[:, None] * np.exp(-lag / days), one, other) for days in DAYS])
    best = np.unravel_index(int(likelihood.argmax()), likelihood.shape)
    return Persistence(share=float(SHARES[best[1]]), days=float(DAYS[best[0]]))


def _log_likelihood(correlation: FloatArray, one: FloatArray, other: FloatArray) -> FloatArray:
    """(shares,): of standard bivariate normal pairs with correlations (shares, pairs), but for a constant."""
    rest = 1 - correlation**2
    squares = (one**2 - 2 * correlation * one * other + other**2) / rest
    found: FloatArray = -0.5 * (np.log(rest) + squares).sum(axis=-1)
    return found
