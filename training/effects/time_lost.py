"""Restricted mean time lost to a cause, by arm, and its differences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.effects.arms import Arms, FloatArray
from training.effects.estimates import difference
from training.effects.risks import Table, table_of
from training.evaluation.pseudo import derivative
from training.models.nonparametric import aalen_johansen, risk_sets


def arm_times_lost(arms: Arms, horizons_days: FloatArray) -> tuple[Table, ...]:
    """Mean days lost to each cause within each horizon τ, by arm: L_k(τ) = ∫₀^τ F_k(t) dt.

    Andersen, Stat Med 2013;32:5278–5285. Over the causes, L_k add up to τ less the restricted mean time without any
    event. Standard errors are the infinitesimal jackknife's, as those of R's `survival::residuals.survfit` of type auc.
    """
    found = []
    for k in range(len(arms.names)):
        outcomes = arms.of(k)
        errors = np.sqrt((time_lost_influence(outcomes, horizons_days) ** 2).sum(axis=0))
        found.append(table_of(time_lost(outcomes, horizons_days), errors, difference))
    return tuple(found)


def time_lost(outcomes: Outcomes, horizons_days: FloatArray, weights: NDArray[np.float64] | None = None) -> FloatArray:
    """Restricted mean time lost (causes, horizons): Σ_s (τ − s)⁺ dF_k(s), with weights (rows,) where given."""
    curve = aalen_johansen(outcomes, weights)
    steps = np.diff(curve.incidence, axis=-1, prepend=0.0)
    lost: FloatArray = steps @ _gain(curve.times_days, horizons_days).T
    return lost


def time_lost_influence(
    outcomes: Outcomes, horizons_days: FloatArray, weights: NDArray[np.float64] | None = None
) -> FloatArray:
    """∂L_k(τ)/∂w_i, shape (rows, causes, horizons); the integral over time of that of F_k."""
    sets = risk_sets(outcomes, weights)
    return derivative(outcomes, sets, _gain(sets.times_days, horizons_days))


def _gain(times_days: FloatArray, horizons_days: FloatArray) -> FloatArray:
    """(horizons, times): (τ − s)⁺."""
    gain: FloatArray = np.maximum(np.asarray(horizons_days, dtype=float)[:, None] - times_days, 0.0)
    return gain
