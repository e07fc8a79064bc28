"""Cell types of which one group of patients has more: negative binomial models of numbers of cells."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import t as student

from features.errors import SequelaError
from training.differential.design import Design
from training.effects.arms import FloatArray

LEAST_CELLS = 10
"""Of a type in all patients together, below which it is not tested."""
_LOG_DISPERSION = (-12.0, 4.0)
"""Between which the dispersion is sought; at the lower end counts vary as Poisson's."""


@dataclass(frozen=True, slots=True)
class AbundanceTest:
    """Of one cell type."""

    log2_fold_change: float
    """Of its share of all cells, second group against the reference."""
    low: float
    """Of the 95 % interval."""
    high: float
    statistic: float
    """Student's t."""
    p: float
    dispersion: float
    """α in Var = μ + α μ²."""
    scale: float
    """Pearson's χ² over its degrees of freedom, at least 1, by which the variance is multiplied."""


NOT_TESTED = AbundanceTest(*[float("nan")] * 7)


def abundance_test(n_cells: FloatArray, n_of_all: FloatArray, design: Design) -> AbundanceTest:
    """Test the group in log E(n) = log(all cells) + intercept + group + covariates, with Var = scale · (μ + α μ²).

    A generalised linear model of counts with a negative binomial variance and an offset, as edgeR's in "Orchestrating
    Single-Cell Analysis" (Amezquita et al., Nat Methods 2020;17:137, chapter on differential abundance). edgeR lends
    each gene the dispersions of thousands of others; of cell types there are too few for that, so that each has its
    own, by maximum likelihood. In few patients that is too small; so the variance is scaled by Pearson's χ², and the
    coefficient referred to Student's t with the residual degrees of freedom. The same as R's
    ``summary(glm(n ~ group + offset(log(all)), family = MASS::negative.binomial(theta)))`` with theta of
    ``MASS::glm.nb`` (Venables & Ripley, Modern Applied Statistics with S, 2002, section 7.4), but that the scale is at
    least 1.

    Args:
        n_cells: (patients,): cells of the type.
        n_of_all: (patients,): cells of all types, above 0.
        design: Groups and covariates, of full rank (`Design.take`).

    Returns:
        `NOT_TESTED` with fewer than `LEAST_CELLS` cells, with none in a group, or without a maximum of the likelihood.

    Raises:
        SequelaError: statsmodels is not installed.
    """
    in_group = [float(n_cells[design.group == k].sum()) for k in (0, 1)]
    if sum(in_group) < LEAST_CELLS or min(in_group) == 0:
        return NOT_TESTED
    try:
        generalised = import_module("statsmodels.genmod.api")
    except ImportError as error:
        msg = f"differential abundance: {error.name} is not installed; pip install 'sequela[omics]'"
        raise SequelaError(msg) from error
    x, offset = design.columns().to_numpy(), np.log(n_of_all)
    families = generalised.families

    def fitted(log_dispersion: float, scale: str | float) -> Any:  # noqa: ANN401 - statsmodels has no types
        family = families.NegativeBinomial(alpha=float(np.exp(log_dispersion)))
        return generalised.GLM(n_cells, x, family=family, offset=offset).fit(scale=scale, tol=1e-10)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps towards the maximum; what is found is looked at below
        try:
            best = minimize_scalar(
                lambda one: -fitted(one, 1.0).llf, bounds=_LOG_DISPERSION, method="bounded", options={"xatol": 1e-6}
            )
            of = fitted(float(best.x), "X2")
        except (ValueError, np.linalg.LinAlgError):
            return NOT_TESTED
    scale = max(float(of.scale), 1.0)
    estimate, error_of = float(of.params[1]), float(of.bse[1]) * np.sqrt(scale / float(of.scale))
    if not (np.isfinite(estimate) and np.isfinite(error_of) and error_of > 0):
        return NOT_TESTED
    half = float(student.ppf(0.975, design.n_free)) * error_of
    statistic = estimate / error_of
    p = float(2 * student.sf(abs(statistic), design.n_free))
    change, low, high = (one / np.log(2) for one in (estimate, estimate - half, estimate + half))
    return AbundanceTest(change, low, high, statistic, p, float(np.exp(best.x)), scale)
