"""The states that patients go through by a Cox model of each transition, as they are served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.models.partial_likelihood import MAX_LINEAR_PREDICTOR, FloatArray
from training.models.predictor import Arrays

VALUES_AT_ONCE = 2_000_000
"""Hazards (models × times × states²) held at a time."""
TAIL = 0.025
"""Of the refits beyond each end of a 95 % interval."""

Move = tuple[int, int]
"""From a state to another."""


@dataclass(frozen=True, slots=True)
class PatientCourse:
    """One patient's states at some times: of the fit, and of the refits to patients drawn with replacement."""

    point: FloatArray
    """(3, times, states): probability of being in each state, expected entries into it by then, which is the
    probability of ever having been in it as nobody returns (0 for the first), and expected days in it up to then."""
    draws: FloatArray
    """(refits, 3, times, states): the same of each refit."""


@dataclass(frozen=True, slots=True)
class StateModel:
    """Cox models of every transition, and refits of them: proportional hazards, Markov given the covariates.

    Made by `training.states.transition_models.state_model`. What is stored is (1 + refits) · moves · (times + features)
    numbers of 8 bytes: 30 refits of 5 moves at 300 times by 40 features are 0.4 MB.
    """

    states: tuple[str, ...]
    """Names, the one of the landmark first."""
    moves: tuple[Move, ...]
    """Those that occurred."""
    times_days: FloatArray
    """(times,): from the landmark, on which somebody moved; ascending, above 0."""
    beta: FloatArray
    """(1 + refits, moves, features): log hazard ratios; the fit first."""
    increments: FloatArray
    """(1 + refits, moves, times): of the cumulative baseline hazards."""

    def __post_init__(self) -> None:
        n_models, n_moves = len(self.beta), len(self.moves)
        shapes = (n_models, n_moves, len(self.times_days))
        if self.beta.ndim != 3 or self.beta.shape[1] != n_moves or self.increments.shape != shapes or n_models < 1:
            msg = "states: coefficients and increments are those of every model and move, at every time"
            raise ValueError(msg)
        if any(not (0 <= i < len(self.states) and 0 <= j < len(self.states) and i != j) for i, j in self.moves):
            msg = "states: a move goes from one state to another"
            raise ValueError(msg)

    @property
    def n_refits(self) -> int:
        """Those for the intervals."""
        return len(self.beta) - 1

    def course(self, x: FloatArray, times_days: FloatArray) -> PatientCourse:
        """The states of one patient, who is in the first one at the landmark; see `follow` and `moving`.

        Args:
            x: (features,): encoded as the patients of the fit.
            times_days: (times,): from the landmark, at least 0, ascending.
        """
        n = len(self.states)
        n_parts = max(1, len(self.beta) * len(self.times_days) * n * n // VALUES_AT_ONCE)
        found = []
        for part in np.array_split(np.arange(len(self.beta)), n_parts):
            relative = np.exp(np.clip(self.beta[part] @ x, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR))
            hazards = np.zeros((len(part), len(self.times_days), n, n))
            for k, (origin, target) in enumerate(self.moves):
                hazards[:, :, origin, target] = relative[:, k, None] * self.increments[part, k]
            found.append(follow(self.times_days, moving(hazards), times_days))
        values = np.moveaxis(np.concatenate(found, axis=1), 1, 0)
        return PatientCourse(values[0], values[1:])

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything but the names of the states and the moves."""
        return {"times_days": self.times_days, "beta": self.beta, "increments": self.increments}

    @classmethod
    def from_state(cls, states: tuple[str, ...], moves: tuple[Move, ...], arrays: Arrays) -> Self:
        """Rebuild what `state` described.

        Raises:
            ValueError: The arrays do not belong together.
        """
        return cls(states, moves, arrays["times_days"], arrays["beta"], arrays["increments"])


def moving(hazards: FloatArray) -> FloatArray:
    """Probabilities of moving at each time, by increments dA of a patient's cumulative hazards (…, states, states).

    (1 − exp(−Σ_k dA_ik)) dA_ij / Σ_k dA_ik: where one state is left at a time, the matrix exponential that R's
    `survival::survfit` takes for a multi-state `coxph`.
    """
    total = hazards.sum(axis=-1, keepdims=True)
    share = np.divide(hazards, total, out=np.zeros_like(hazards), where=total > 0)
    moves: FloatArray = -np.expm1(-total) * share
    return moves


def follow(steps_days: FloatArray, moves: FloatArray, times_days: FloatArray) -> FloatArray:
    """(3, …, times, states): probabilities, entries and days from the first state on, by probabilities of moving.

    Args:
        steps_days: (steps,): when somebody may move, ascending, above 0.
        moves: (…, steps, states, states): probability of each move then; 0 on the diagonal.
        times_days: (times,): from 0, ascending.
    """
    *leading, n_steps, n, _ = moves.shape
    probability = np.zeros((*leading, n_steps + 1, n))
    probability[..., 0, 0] = 1.0
    entries = np.zeros_like(probability)
    stays = 1.0 - moves.sum(axis=-1)
    for i in range(n_steps):
        arrived = (probability[..., i, None, :] @ moves[..., i, :, :])[..., 0, :]
        entries[..., i + 1, :] = entries[..., i, :] + arrived
        probability[..., i + 1, :] = probability[..., i, :] * stays[..., i, :] + arrived
    since = np.concatenate([[0.0], steps_days])
    areas = np.zeros_like(probability)
    np.cumsum(probability[..., :-1, :] * np.diff(since)[:, None], axis=-2, out=areas[..., 1:, :])
    at = np.searchsorted(since, times_days, side="right") - 1
    days = areas[..., at, :] + probability[..., at, :] * (np.asarray(times_days) - since[at])[:, None]
    return np.stack([probability[..., at, :], entries[..., at, :], days])
