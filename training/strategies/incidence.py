"""Incidence and time lost of weighted clones."""

from __future__ import annotations

import numpy as np

from training.strategies.followed import FloatArray, IntArray


def weighted_incidence(weights: FloatArray, end_day: IntArray, cause: IntArray, n_causes: int) -> FloatArray:
    """Cumulative incidence of each cause by days 1, 2, …: (causes, days).

    The Aalen–Johansen estimate F_k(t) = Σ_{s≤t} S(s−) dN_k(s) / Y(s) with weights that change by the day: Y(s) is the
    weight on day s − 1 of the clones then observed, dN_k(s) that of those among them who meet cause k by day s.
    Competing events are left to happen: the total effect of Young et al., Stat Med 2020;39:1199.

    Args:
        weights: (patients, days): of clones, 0 of who is not observed or does not follow the strategy.
        end_day: (patients,)
        cause: (patients,): 0 = censored.
        n_causes: Of causes 1, 2, …
    """
    n_days = weights.shape[1]
    at_risk = weights.sum(axis=0)
    own = np.flatnonzero((cause > 0) & (end_day <= n_days))
    at = end_day[own] - 1
    place = (cause[own] - 1) * n_days + at
    events = np.bincount(place, weights[own, at], minlength=n_causes * n_days).reshape(n_causes, n_days)
    hazard = np.divide(events, at_risk, out=np.zeros_like(events), where=at_risk > 0)
    free = np.cumprod(1.0 - hazard.sum(axis=0))
    before = np.concatenate([[1.0], free[:-1]])
    found: FloatArray = np.cumsum(before * hazard, axis=1)
    return found


def incidence_at(incidence: FloatArray, horizons_days: FloatArray) -> FloatArray:
    """Incidence (…, days) by days 1, 2, … at horizons: (…, horizons); 0 before day 1."""
    place = np.floor(horizons_days).astype(np.int64) - 1
    found: FloatArray = np.where(place >= 0, incidence[..., np.maximum(place, 0)], 0.0)
    return found


def time_lost_to(incidence: FloatArray, horizons_days: FloatArray) -> FloatArray:
    """Mean days lost to each cause within horizons τ, (…, horizons): Σ_t (τ − t)⁺ dF(t).

    Andersen, Stat Med 2013;32:5278.

    Args:
        incidence: (…, days): by days 1, 2, …
        horizons_days: (horizons,)
    """
    steps = np.diff(incidence, axis=-1, prepend=0.0)
    gain = np.maximum(horizons_days[:, None] - np.arange(1, incidence.shape[-1] + 1), 0.0)
    found: FloatArray = steps @ gain.T
    return found
