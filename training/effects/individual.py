"""How an effect changes with the covariates: the best straight line, with its uncertainty, for every patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from training.effects.adjusted import NOTHING, Standardised
from training.effects.arms import FloatArray
from training.effects.estimates import ABSENT, QUANTILE, ChiSquared, Estimate, difference
from training.effects.propensity import SAME, standardised

FEWEST = 10
"""Patients in whom a column differs from what the columns before it say; of fewer, no slope is learnt."""
MOST_LEVERAGE = 0.99
"""A patient whose own value decides its expected one by more: nothing is left to tell the error by."""


@dataclass(frozen=True, slots=True)
class IndividualEffects:
    """Difference of one arm to the first, as a straight line in the covariates."""

    mean: Estimate
    """Over all patients."""
    slopes: tuple[Estimate, ...]
    """By column: change of the difference with one standard deviation of it, the others held; NaN of those left out."""
    test: ChiSquared
    """Wald's, that all slopes are 0; the p-value is that of F, with as many degrees of freedom as patients leave."""
    left_out: tuple[int, ...]
    """Positions of columns that the line leaves out; see `told_apart`."""
    expected: FloatArray
    """(patients,): of patients with these covariates."""
    design: FloatArray
    """(patients, coefficients): 1 and the columns of the line."""
    covariance: FloatArray
    """(coefficients, coefficients)"""

    @property
    def standard_error(self) -> FloatArray:
        """(patients,): of what is expected."""
        return _errors(self.design, self.covariance)

    @property
    def low(self) -> FloatArray:
        """(patients,): lower bounds of pointwise 95 % intervals."""
        return self.expected - QUANTILE * self.standard_error

    @property
    def high(self) -> FloatArray:
        """(patients,): upper bounds."""
        return self.expected + QUANTILE * self.standard_error


def individual_effects(
    everyone: Standardised, x: FloatArray, cause: int, horizon: int
) -> tuple[IndividualEffects, ...]:
    """Project the values whose mean is the effect on covariates, for each arm but the first.

    The values are each patient's doubly robust ones (`targeted`, whose models have not seen the patient): their
    regression on covariates is that of the effect itself (Kennedy, Electron J Stat 2023;17:3008), and least squares
    gives its best linear projection, whatever its shape (Semenova & Chernozhukov, Econom J 2021;24:264). Standard
    errors are heteroskedasticity-consistent (HC3: MacKinnon & White, J Econom 1985;29:305). Of a slope that few
    patients carry they say nothing, so that such columns are left out (`told_apart`); with a patient of leverage above
    `MOST_LEVERAGE` there is no line. Nothing is said of what one patient's own outcome would have been, only of the
    mean of patients who are alike in the covariates.

    Args:
        everyone: Targeted estimates in every arm.
        x: (patients, columns).
        cause: Position of the cause, from 0.
        horizon: Position of the horizon.
    """
    values = (
        everyone.points[:, None, cause, horizon] + everyone.influence.shape[1] * everyone.influence[..., cause, horizon]
    )
    known = (everyone.influence[..., cause, horizon] ** 2).sum(axis=1) > NOTHING**2
    return tuple(
        _projected(values[k] - values[0], x)
        if known[0] and known[k] and np.isfinite(values[[0, k]]).all()
        else _absent(x)
        for k in range(1, len(values))
    )


def told_apart(x: FloatArray) -> NDArray[np.bool_]:
    """(columns,): whether at least `FEWEST` patients differ in a column from what the columns kept before it say.

    A level of few patients is left out, and so is one that is all others' complement but for them: both would give few
    patients a slope of their own. Columns that say nothing new are kept, as they give nobody one.

    Args:
        x: (patients, columns), standardised.
    """
    kept = np.zeros(x.shape[1], dtype=bool)
    for j in range(x.shape[1]):
        before = np.column_stack([np.ones(len(x)), x[:, kept]])
        apart = _unexplained(before, x[:, j])
        rest = np.argsort(apart, kind="stable")[: len(x) - (FEWEST - 1)]
        new = apart.max() > SAME
        kept[j] = (_unexplained(before[rest], x[rest, j]).max() > SAME) if new else np.ptp(x[:, j]) > 0
    return kept


def _unexplained(before: FloatArray, column: FloatArray) -> FloatArray:
    """(patients,): distance of a column from the nearest combination of others."""
    found: FloatArray = np.abs(column - before @ np.linalg.lstsq(before, column, rcond=None)[0])
    return found


def _projected(value: FloatArray, x: FloatArray) -> IndividualEffects:
    scaled = standardised(x)
    kept = told_apart(scaled)
    left_out = tuple(np.flatnonzero(~kept).tolist())
    design = np.column_stack([np.ones(len(x)), scaled[:, kept]])
    bread = np.linalg.pinv(design.T @ design)
    beta = bread @ design.T @ value
    leverage = np.einsum("ij,jk,ik->i", design, bread, design)
    if not kept.any() or leverage.max() > MOST_LEVERAGE:
        alone = difference(float(value.mean()), float(value.std(ddof=1)) / len(x) ** 0.5)
        return replace(_absent(x), mean=alone, left_out=left_out)
    part = design @ bread * ((value - design @ beta) / (1.0 - leverage))[:, None]
    covariance = part.T @ part
    mean, *own = (difference(float(b), float(v) ** 0.5) for b, v in zip(beta, covariance.diagonal(), strict=True))
    by_column: dict[int, Estimate] = dict(zip(np.flatnonzero(kept).tolist(), own, strict=True))
    return IndividualEffects(
        mean,
        tuple(by_column.get(j, ABSENT) for j in range(len(kept))),
        _wald(beta[1:], covariance[1:, 1:], len(x)),
        left_out,
        design @ beta,
        design,
        covariance,
    )


def _errors(design: FloatArray, covariance: FloatArray) -> FloatArray:
    """(rows,): of what is expected of rows of a design."""
    found: FloatArray = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", design, covariance, design), 0.0))
    return found


def _wald(slopes: FloatArray, covariance: FloatArray, n: int) -> ChiSquared:
    """That all slopes are 0, from the directions in which they were learnt."""
    scale = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    told = scale > NOTHING
    correlation = covariance[np.ix_(told, told)] / np.outer(scale[told], scale[told])
    degrees = int(np.linalg.matrix_rank(correlation, hermitian=True)) if told.any() else 0
    if not degrees:
        return ChiSquared(nan, 0, nan)
    z = slopes[told] / scale[told]
    statistic = float(z @ np.linalg.pinv(correlation, hermitian=True) @ z)
    return ChiSquared(statistic, degrees, float(f_distribution.sf(statistic / degrees, degrees, n - degrees - 1)))


def _absent(x: FloatArray) -> IndividualEffects:
    """Where there is no line: the effect itself is not known, or nothing is left to tell how it changes."""
    n, n_columns = x.shape
    nothing = np.full((n, 1), nan)
    test = ChiSquared(nan, 0, nan)
    return IndividualEffects(ABSENT, (ABSENT,) * n_columns, test, (), nothing[:, 0], nothing, np.full((1, 1), nan))


def ordered(effects: IndividualEffects, least: int = 1) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Expected effects, lower and upper bounds from the lowest effect on, each of a mean of at least so many patients.

    The bounds are those of the mean itself, from the covariance of the coefficients.
    """
    order = np.argsort(effects.expected, kind="stable")
    parts = np.array_split(order, max(1, len(order) // least))
    point = np.array([effects.expected[part].mean() for part in parts])
    reach = QUANTILE * _errors(np.stack([effects.design[part].mean(axis=0) for part in parts]), effects.covariance)
    return point, point - reach, point + reach
