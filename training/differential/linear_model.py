"""Ordinary least squares of many columns on two groups and covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from training.differential.design import Design
from training.effects.arms import FloatArray


@dataclass(frozen=True, slots=True)
class LinearTests:
    """Of each column: how much higher it is in the second group."""

    difference: FloatArray
    low: FloatArray
    """Of the 95 % interval."""
    high: FloatArray
    statistic: FloatArray
    """Student's t."""
    p: FloatArray
    """Two-sided; NaN where a column does not vary."""


def linear_tests(values: FloatArray, design: Design) -> LinearTests:
    """Test the group's coefficient in each column's linear model; as R's ``summary(lm(value ~ group + covariates))``.

    Args:
        values: (patients, columns), all known.
        design: Groups and covariates, of full rank (`Design.take`).
    """
    x = design.columns().to_numpy()
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ values
    residual = values - x @ beta
    variance = (residual**2).sum(axis=0) / design.n_free
    varies = variance > 1e-20 * np.maximum((values**2).mean(axis=0), 1e-300)
    error = np.where(varies, np.sqrt(variance * inverse[1, 1]), np.nan)
    statistic = beta[1] / error
    half = float(student.ppf(0.975, design.n_free)) * error
    p = 2 * student.sf(np.abs(statistic), design.n_free)
    return LinearTests(beta[1], beta[1] - half, beta[1] + half, statistic, p)
