"""Targeting: hazards moved until the mean influence of what is estimated from them is 0."""

from __future__ import annotations

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
    """(causes, patients, times): those that points and influence are of; targeted where points are known."""

    def incidence(self) -> FloatArray:
        """(causes, times): of each cause by each day of the hazards, had everyone been in the arm.

        NaN of a cause whose targeting was given up at any horizon: its hazards are not targeted ones.
        """
        _, before = _event_free(self.hazard)
        mean: FloatArray = (before * self.hazard).mean(axis=1).cumsum(axis=1)
        return np.where(np.isfinite(self.points).all(axis=1, keepdims=True), mean, NAN)


def aim(nuisances: Nuisances, gain: FloatArray, most_steps: int = MOST_STEPS) -> Aimed:
    """Targeted minimum loss estimate of θ_j = Σ_s g(s) dF_j(s) for every cause j and gain g at once.

    With q_l(s | x) the probability of cause l on day s while free of events, S their event-free probability and
    F_j = Σ S(s−) q_j(s), a patient's influence on the mean of θ_j over everyone is

        Σ_l Σ_s 1{in the arm, at risk on s} / (π(x) G(s−|x)) h_jl(s|x) (dN_l(s) − q_l(s|x)) + θ_j(x) − mean θ_j,
        h_jl(s|x) = g(s) 1{l = j} − Σ_{u>s} g(u) dF_j(u|x) / S(s|x)

    (Benkeser, Carone & Gilbert, Stat Med 2018;37:280; Rytgaard & van der Laan, Lifetime Data Anal 2024;30:4).
    The hazards are moved along q_l exp(ε·h_l) / (1 − Σ q + Σ q exp(ε·h)), the loss being weighted by 1/(πG), by
    Newton's steps, h being found anew after each, until the first sum has mean 0 for all j and g. They stay
    hazards: risks lie in [0, 1], add up to at most 1 over causes, and do not fall with the horizon.

    Args:
        nuisances: Hazards to begin with, and weights.
        gain: (horizons, times): g at the times of the hazards.
        most_steps: After how many targeting is given up.
    """
    hazard = nuisances.hazard
    n_causes, n, _ = hazard.shape
    wanted = _Functionals(np.tile(gain, (n_causes, 1)), np.repeat(np.arange(n_causes), len(gain)))
    for left in reversed(range(most_steps + 1)):
        values, first, information = _state(nuisances, hazard, wanted)
        influence = (first + values - values.mean(axis=0)) / n
        score = first.sum(axis=0)
        reached = np.abs(score) / n <= CLOSE * np.sqrt((influence**2).sum(axis=0))
        if reached.all() or not left:
            break
        hazard = _moved(hazard, wanted, _step(information, score))
    points = np.where(reached, values.mean(axis=0), NAN)
    shape = (n_causes, len(gain))
    return Aimed(points.reshape(shape), influence.reshape(n, *shape), hazard)


def _event_free(hazard: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(patients, times) each: probability of no event up to each day with it, and before it."""
    free = np.cumprod(1.0 - hazard.sum(axis=0), axis=1)
    return free, np.concatenate([np.ones((len(free), 1)), free[:, :-1]], axis=1)


@dataclass(frozen=True, slots=True)
class _Functionals:
    """All θ_j of all gains, one after the other."""

    gains: FloatArray
    """(functionals, times)"""
    cause_of: IntArray
    """(functionals,)"""

    def expected(self, hazard: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What is still to come after each day to those free of events then, and in all.

        Args:
            hazard: (causes, patients, times)

        Returns:
            (functionals, patients, times) and (patients, functionals).
        """
        free, before = _event_free(hazard)
        given_free = np.divide(1.0, free, out=np.zeros_like(free), where=free > 0)
        later, total = np.empty((len(self.gains), *free.shape)), np.empty((len(free), len(self.gains)))
        for m, (gain, cause) in enumerate(zip(self.gains, self.cause_of, strict=True)):
            so_far = np.cumsum(before * hazard[cause] * gain, axis=1)
            total[:, m] = so_far[:, -1]
            later[m] = (so_far[:, -1:] - so_far) * given_free
        return later, total

    def of_cause(self, cause: int) -> FloatArray:
        """(functionals, times): the gains of those of one cause, 0 of others."""
        found: FloatArray = self.gains * (self.cause_of == cause)[:, None]
        return found


def _state(nuisances: Nuisances, hazard: FloatArray, wanted: _Functionals) -> tuple[FloatArray, FloatArray, FloatArray]:
    """θ of each patient and the first sum of its influence, (patients, functionals), and the information of ε."""
    n, n_functionals = hazard.shape[1], len(wanted.gains)
    place = np.full(n, -1)
    place[nuisances.rows] = np.arange(len(nuisances.rows))
    values, first = np.empty((n, n_functionals)), np.zeros((n, n_functionals))
    information = np.zeros((n_functionals, n_functionals))
    for rows in _blocks(n):
        later, values[rows] = wanted.expected(hazard[:, rows])
        inside = np.flatnonzero(place[rows] >= 0)
        own = rows[inside]
        weight = nuisances.at_risk[place[own]] / nuisances.seen[own]
        h_mean = np.zeros((n_functionals, weight.size))
        for cause, one in enumerate(hazard[:, own]):
            h = (wanted.of_cause(cause)[:, None] - later[:, inside]).reshape(n_functionals, -1)
            residual = weight * (nuisances.happened[cause, place[own]] - one)
            first[own] += (h * residual.ravel()).reshape(n_functionals, *one.shape).sum(axis=2).T
            information += (h * (weight * one).ravel()) @ h.T
            h_mean += h * one.ravel()
        information -= (h_mean * weight.ravel()) @ h_mean.T
    return values, first, information


def _blocks(n: int) -> list[IntArray]:
    """Positions of patients, about `ROWS_AT_ONCE` at a time."""
    return np.array_split(np.arange(n), max(1, n // ROWS_AT_ONCE))


def _step(information: FloatArray, score: FloatArray) -> FloatArray:
    """ε, in units in which every functional has information 1: horizons that are alike share a step."""
    scale = np.sqrt(np.maximum(information.diagonal(), 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    found, *_ = np.linalg.lstsq(information / np.outer(scale, scale), score / scale, rcond=1e-10)
    step: FloatArray = found / scale
    return step


def _moved(hazard: FloatArray, wanted: _Functionals, direction: FloatArray) -> FloatArray:
    """Hazards after a step, which is at most `LARGEST_STEP` in the log odds of each."""
    moved = np.empty_like(hazard)
    of_cause = np.stack([direction @ wanted.of_cause(cause) for cause in range(len(hazard))])
    for rows in _blocks(hazard.shape[1]):
        common = np.tensordot(direction, wanted.expected(hazard[:, rows])[0], axes=1)
        change = np.clip(of_cause[:, None] - common, -LARGEST_STEP, LARGEST_STEP)
        raised = hazard[:, rows] * np.exp(change)
        moved[:, rows] = raised / (1.0 - hazard[:, rows].sum(axis=0) + raised.sum(axis=0))
    return moved
