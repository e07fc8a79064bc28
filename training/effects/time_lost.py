"""Restricted mean time lost to a cause."""

from __future__ import annotations

import numpy as np

from features.outcomes import Outcomes
from training.effects.arms import FloatArray
from training.effects.estimates import NAN, Estimate, difference
from training.effects.risks import Measure
from training.evaluation.pseudo import derivative
from training.models.nonparametric import aalen_johansen, risk_sets


def time_lost(outcomes: Outcomes, horizons_days: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Mean days lost to each cause within each horizon τ, (causes, horizons): L_k(τ) = ∫₀^τ F_k(t) dt.

    Andersen, Stat Med 2013;32:5278–5285. Over the causes, L_k add up to τ less the restricted mean time without any
    event.
    """
    curve = aalen_johansen(outcomes, weights)
    steps = np.diff(curve.incidence, axis=-1, prepend=0.0)
    lost: FloatArray = steps @ _gain(curve.times_days, horizons_days).T
    return lost


def time_lost_influence(outcomes: Outcomes, horizons_days: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """∂L_k(τ)/∂w_i, shape (rows, causes, horizons); as R's `survival::residuals.survfit` of type auc."""
    sets = risk_sets(outcomes, weights)
    return derivative(outcomes, sets, _gain(sets.times_days, horizons_days))


def _gain(times_days: FloatArray, horizons_days: FloatArray) -> FloatArray:
    """(horizons, times): (τ − s)⁺, as L_k = Σ_s (τ − s)⁺ dF_k(s)."""
    gain: FloatArray = np.maximum(np.asarray(horizons_days, dtype=float)[:, None] - times_days, 0.0)
    return gain


def _days(point: float, standard_error: float) -> Estimate:
    """A mean number of days, with a symmetric interval and no p-value."""
    found = difference(point, standard_error)
    return Estimate(found.point, found.low, found.high, NAN, found.standard_error)


TIME_LOST = Measure(time_lost, time_lost_influence, _days, lambda horizons_days: horizons_days, _gain)
