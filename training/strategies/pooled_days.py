"""On which days something happens to whom: a pooled logistic regression of the days on which it could."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from training.strategies.followed import BoolArray, FloatArray, IntArray

MOST_STEPS = 52
"""In which time enters the model; days of a patient within a step, all else being alike, are one row."""
KNOTS = (0.05, 0.35, 0.65, 0.95)
"""Quantiles of the days on which it happened, at which the spline of time has its knots (Harrell, Regression Modeling
Strategies, 2015, section 2.4.6)."""
PENALTY = 1e-4
"""Of squared coefficients on standardised columns: too weak to matter, unless a column tells fully what happens."""
LEAST = 1e-6
"""Probabilities of a day are at least this, and at most one less this."""
TOLERANCE = 1e-9
MOST_ITERATIONS = 50


@dataclass(frozen=True, slots=True)
class PooledDays:
    """Days on which it could happen, a patient's from day 0 on; those of a patient that look alike are one row."""

    patient: IntArray
    """(rows,)"""
    n_days: FloatArray
    """(rows,)"""
    n_happened: FloatArray
    """(rows,): 0 or 1."""
    design: FloatArray
    """(rows, columns): a constant, time, covariates."""
    row_of: IntArray
    """(patients, days): the row of each day; 0 on days on which it could not happen."""
    at_risk: BoolArray
    """(patients, days)"""

    @classmethod
    def of(cls, at_risk: BoolArray, happens: BoolArray, baseline: FloatArray, changing: FloatArray) -> PooledDays:
        """Put days into rows.

        Args:
            at_risk: (patients, days): days on which it could happen; none after one on which it could not.
            happens: (patients, days): days on which it does, once at most to each, and on a day at risk.
            baseline: (patients, columns), standardised: known at time zero.
            changing: (patients, days, columns), standardised: as last known before each day.
        """
        n_days = at_risk.shape[1]
        width = -(-n_days // MOST_STEPS)
        step = np.arange(n_days) // width
        fresh = np.zeros(at_risk.shape, dtype=bool)
        fresh[:, 0] = True
        fresh[:, 1:] = (step[1:] != step[:-1]) | (changing[:, 1:] != changing[:, :-1]).any(axis=2)
        fresh &= at_risk
        row_of = np.where(at_risk, np.cumsum(fresh.ravel()).reshape(fresh.shape) - 1, 0)
        patient, day = np.nonzero(fresh)
        n_of_row = np.bincount(row_of[at_risk], minlength=len(patient)).astype(float)
        n_happened = np.bincount(row_of[happens], minlength=len(patient)).astype(float)
        middle = np.minimum(step * width + (width - 1) / 2, n_days - 1.0)
        time = _spline(middle, np.nonzero(happens)[1])[day]
        design = np.column_stack([np.ones(len(patient)), time, baseline[patient], changing[patient, day]])
        return cls(patient, n_of_row, n_happened, design, row_of, at_risk)

    def fit(self, counts: FloatArray | None = None, start: FloatArray | None = None) -> FloatArray:
        """(columns,): coefficients of the logarithm of the odds that it happens on a day, by Newton's method.

        Pooled over patients and days, this is a discrete hazard (D'Agostino et al., Stat Med 1990;9:1501),
        as the weights of marginal structural models have it (Hernán, Brumback & Robins, Epidemiology 2000;11:561).

        Args:
            counts: (patients,): how often each is counted; None: once.
            start: Coefficients to begin with.
        """
        times = np.ones(len(self.patient)) if counts is None else counts[self.patient]
        n, y = times * self.n_days, times * self.n_happened
        penalty = np.full(self.design.shape[1], PENALTY)
        penalty[0] = 0.0
        if start is None:
            start = np.zeros(self.design.shape[1])
            share = np.clip(y.sum() / n.sum(), LEAST, 1 - LEAST)
            start[0] = np.log(share / (1 - share))
        beta, value = start, self._value(start, n, y, penalty)
        for _ in range(MOST_ITERATIONS):
            p = expit(self.design @ beta)
            gradient = self.design.T @ (y - n * p) - penalty * beta
            information = (self.design * (n * p * (1 - p))[:, None]).T @ self.design + np.diag(penalty)
            step = np.linalg.lstsq(information, gradient, rcond=None)[0]
            beta, value, gain = self._advance(beta, step, value, n, y, penalty)
            if gain <= TOLERANCE * max(1.0, abs(value)):
                break
        return beta

    def _advance(
        self, beta: FloatArray, step: FloatArray, value: float, n: FloatArray, y: FloatArray, penalty: FloatArray
    ) -> tuple[FloatArray, float, float]:
        """Half the step until the likelihood does not fall."""
        for _ in range(30):
            found = self._value(beta + step, n, y, penalty)
            if found >= value:
                return beta + step, found, found - value
            step = step / 2
        return beta, value, 0.0

    def _value(self, beta: FloatArray, n: FloatArray, y: FloatArray, penalty: FloatArray) -> float:
        linear = self.design @ beta
        return float(y @ linear - n @ np.logaddexp(0.0, linear) - 0.5 * penalty @ beta**2)

    def probabilities(self, beta: FloatArray) -> FloatArray:
        """(rows,): that it happens on a day."""
        found: FloatArray = np.clip(expit(self.design @ beta), LEAST, 1 - LEAST)
        return found


def _spline(days: FloatArray, happened: IntArray) -> FloatArray:
    """(days, columns): a restricted cubic spline of days, its columns standardised over them; constant ones left out.

    Linear beyond the outer knots (Stone & Koo 1985; Harrell 2015, equation 2.25).
    """
    at = np.asarray(days, dtype=float)
    knots = np.unique(np.quantile(happened, KNOTS)) if len(happened) else np.zeros(0)
    columns = [at]
    if len(knots) > 2:
        last, before = knots[-1], knots[-2]

        def cube(knot: float) -> FloatArray:
            found: FloatArray = np.maximum(at - knot, 0.0) ** 3
            return found

        columns += [
            cube(knot) - cube(before) * (last - knot) / (last - before) + cube(last) * (before - knot) / (last - before)
            for knot in knots[:-2]
        ]
    table = np.column_stack(columns)
    spread = table.std(axis=0)
    kept = spread > 0
    standardised: FloatArray = (table[:, kept] - table[:, kept].mean(axis=0)) / spread[kept]
    return standardised
