"""Targeting: hazards moved until the mean influence of what is estimated from them is 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.effects.arms import FloatArray, IntArray
from training.effects.estimates import NAN
from training.effects.nuisances import Nuisances

MOST_STEPS = 50
CLOSE = 1e-4
"""Mean influence that counts as 0, in standard errors of the estimate."""
ROWS_AT_ONCE = 128
"""Patients whose expectations are found at a time: what a processor's cache holds."""
LARGEST_STEP = 1.0
"""Of a log odds, at once."""


@dataclass(frozen=True, slots=True)
class Aimed:
    """Estimates of one arm, had everyone been in it."""

    points: FloatArray
    """(causes, horizons); NaN where no hazards were found by which the mean influence is 0."""
    influence: FloatArray
    """(patients, causes, horizons): sums of squares are variances."""
    hazard: FloatArray
    """(causes, patients, times): the targeted hazards."""

    def incidence(self) -> FloatArray:
        """(causes, times): of each cause by each day of the hazards, had everyone been in the arm."""
        free = np.cumprod(1.0 - self.hazard.sum(axis=0), axis=1)
        before = np.concatenate([np.ones((len(free), 1)), free[:, :-1]], axis=1)
        mean: FloatArray = (before * self.hazard).mean(axis=1).cumsum(axis=1)
        return mean


def aim(nuisances: Nuisances, gain: FloatArray) -> Aimed:
    """Targeted minimum loss estimate of θ_j = Σ_s g(s) dF_j(s) for every cause j and gain g at once.

    With q_l(s | x) the probability of cause l on day s while free of events, S their event-free probability and
    F_j = Σ S(s−) q_j(s), a patient's influence on the mean of θ_j over everyone is

        Σ_l Σ_s 1{in the arm, at risk on s} / (π(x) G(s−|x)) h_jl(s|x) (dN_l(s) − q_l(s|x)) + θ_j(x) − mean θ_j,
        h_jl(s|x) = g(s) 1{l = j} − Σ_{u>s} g(u) dF_j(u|x) / S(s|x)

    (Benkeser, Carone & Gilbert, Stat Med 2018;37:280; Rytgaard, Eriksson & van der Laan, Biometrics 2023;79:3038).
    The hazards are moved along q_l exp(ε·h_l) / (1 − Σ q + Σ q exp(ε·h)), the loss being weighted by 1/(πG), by
    Newton's steps, h being found anew after each, until the first sum has mean 0 for all j and g. They stay
    hazards: risks lie in [0, 1], add up to at most 1 over causes, and do not fall with the horizon.

    Args:
        nuisances: Hazards to begin with, and weights.
        gain: (horizons, times): g at the times of the hazards.
    """
    start, hazard = nuisances, nuisances.hazard
    n_causes, n, _ = hazard.shape
    n_horizons = len(gain)
    cause_of = np.repeat(np.arange(n_causes), n_horizons)
    gains = np.tile(gain, (n_causes, 1))
    weight = start.at_risk / start.seen[start.rows]
    reached = False
    for _ in range(MOST_STEPS):
        later, values = _expected(hazard, gains, cause_of)
        own, own_later = hazard[:, start.rows], later[:, start.rows]
        centred = values - values.mean(axis=0)
        residual = weight * (start.happened - own)
        first = np.einsum("mit,mt->im", residual[cause_of], gains) - np.einsum(
            "mit,it->im", own_later, residual.sum(axis=0)
        )
        influence = centred.copy()
        influence[start.rows] += first
        error = np.sqrt((influence**2).sum(axis=0)) / n
        score = first.sum(axis=0)
        reached = bool((np.abs(score) / n <= CLOSE * error).all())
        if reached:
            break
        direction = _step(_information(own, own_later, weight, gains, cause_of), score)
        hazard = _moved(hazard, later, gains, cause_of, direction)
    points = values.mean(axis=0).reshape(n_causes, n_horizons)
    if not reached:
        points = np.where((np.abs(score) / n <= CLOSE * error).reshape(points.shape), points, NAN)
    return Aimed(points, influence.reshape(n, n_causes, n_horizons) / n, hazard)


def _expected(hazard: FloatArray, gains: FloatArray, cause_of: IntArray) -> tuple[FloatArray, FloatArray]:
    """What is still to come after each day of those free of events then, (functionals, patients, times), and in all."""
    free = np.cumprod(1.0 - hazard.sum(axis=0), axis=1)
    before = np.concatenate([np.ones((len(free), 1)), free[:, :-1]], axis=1)
    given_free = np.divide(1.0, free, out=np.zeros_like(free), where=free > 0)
    later, total = np.empty((len(gains), *free.shape)), np.empty((len(free), len(gains)))
    for rows in _blocks(len(free)):
        for m, (gain, cause) in enumerate(zip(gains, cause_of, strict=True)):
            so_far = np.cumsum(before[rows] * hazard[cause, rows] * gain, axis=1)
            total[rows, m] = so_far[:, -1]
            later[m, rows] = (so_far[:, -1:] - so_far) * given_free[rows]
    return later, total


def _information(
    hazard: FloatArray, later: FloatArray, weight: FloatArray, gains: FloatArray, cause_of: IntArray
) -> FloatArray:
    """(functionals, functionals): of ε, of the arm's own patients."""
    n_functionals = len(gains)
    found = np.zeros((n_functionals, n_functionals))
    for rows in _blocks(len(weight)):
        mean = np.zeros((n_functionals, weight[rows].size))
        for cause, one in enumerate(hazard[:, rows]):
            own = gains * (cause_of == cause)[:, None]
            flat = (own[:, None] - later[:, rows]).reshape(n_functionals, -1)
            found += (flat * (weight[rows] * one).ravel()) @ flat.T
            mean += flat * one.ravel()
        found -= (mean * weight[rows].ravel()) @ mean.T
    return found


def _blocks(n: int) -> Iterator[slice]:
    """Rows, `ROWS_AT_ONCE` at a time."""
    return (slice(start, start + ROWS_AT_ONCE) for start in range(0, n, ROWS_AT_ONCE))


def _step(information: FloatArray, score: FloatArray) -> FloatArray:
    """ε, in units in which every functional has information 1: horizons that are alike share a step."""
    scale = np.sqrt(np.maximum(information.diagonal(), 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    found, *_ = np.linalg.lstsq(information / np.outer(scale, scale), score / scale, rcond=1e-10)
    step: FloatArray = found / scale
    return step


def _moved(
    hazard: FloatArray, later: FloatArray, gains: FloatArray, cause_of: IntArray, direction: FloatArray
) -> FloatArray:
    """Hazards after a step of at most `LARGEST_STEP` in the log odds of any."""
    common = np.tensordot(direction, later, axes=1)
    of_cause = np.stack([direction[cause_of == k] @ gains[cause_of == k] for k in range(len(hazard))])
    change = of_cause[:, None] - common
    change *= min(1.0, LARGEST_STEP / max(float(np.abs(change).max(initial=0.0)), 1e-300))
    raised = hazard * np.exp(change)
    moved: FloatArray = raised / (1.0 - hazard.sum(axis=0) + raised.sum(axis=0))
    return moved
