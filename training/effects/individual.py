"""How an effect changes with the covariates: the best straight line, with its uncertainty, for every patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from scipy.stats import f as f_distribution

from training.effects.adjusted import NOTHING, Standardised
from training.effects.arms import FloatArray
from training.effects.estimates import ABSENT, QUANTILE, ChiSquared, Estimate, difference
from training.effects.propensity import standardised


@dataclass(frozen=True, slots=True)
class IndividualEffects:
    """Difference of one arm to the first, as a straight line in the covariates."""

    mean: Estimate
    """Over all patients."""
    slopes: tuple[Estimate, ...]
    """By column: change of the difference with one standard deviation of it, the others held."""
    test: ChiSquared
    """Wald's, that all slopes are 0; the p-value is that of F, with as many degrees of freedom as patients leave."""
    expected: FloatArray
    """(patients,): of patients with these covariates."""
    standard_error: FloatArray
    """(patients,)"""

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
    errors are heteroskedasticity-consistent (HC3: MacKinnon & White, J Econom 1985;29:305). Nothing is said of what one
    patient's own outcome would have been, only of the mean of patients who are alike in the covariates.

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


def _projected(value: FloatArray, x: FloatArray) -> IndividualEffects:
    design = np.column_stack([np.ones(len(x)), standardised(x)])
    bread = np.linalg.pinv(design.T @ design)
    beta = bread @ design.T @ value
    leverage = np.minimum(np.einsum("ij,jk,ik->i", design, bread, design), 1.0 - NOTHING)
    part = design @ bread * ((value - design @ beta) / (1.0 - leverage))[:, None]
    covariance = part.T @ part
    errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", design, covariance, design), 0.0))
    mean, *slopes = (difference(float(b), float(v) ** 0.5) for b, v in zip(beta, covariance.diagonal(), strict=True))
    return IndividualEffects(mean, tuple(slopes), _wald(beta[1:], covariance[1:, 1:], len(x)), design @ beta, errors)


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
    """Where the effect itself is not known."""
    nothing = np.full(len(x), nan)
    return IndividualEffects(ABSENT, (ABSENT,) * x.shape[1], ChiSquared(nan, 0, nan), nothing, nothing)


def ordered(effects: IndividualEffects, least: int = 1) -> Sequence[FloatArray]:
    """Expected effects, lower and upper bounds from the lowest effect on, each a mean of at least so many patients."""
    order = np.argsort(effects.expected, kind="stable")
    parts = np.array_split(order, max(1, len(order) // least))
    return [
        np.array([column[part].mean() for part in parts]) for column in (effects.expected, effects.low, effects.high)
    ]
