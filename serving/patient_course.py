"""One patient's states by the models of transitions, as they are told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from serving.answer import floats
from serving.state_messages import Banded, StateCourse, Transitions
from training.artifact.folder import Artifact
from training.models.states import TAIL

N_PICTURED = 80
"""Days of a picture, from 0 to the horizon."""
N_BENEFICIAL = 2
"""States in which days are the benefit: event-free, and that of the event of interest."""


def transitions_of(
    artifact: Artifact, x: NDArray[np.float64], horizon_days: float, worth: Mapping[str, float]
) -> Transitions:
    """The states of one patient; see `training.models.states.StateModel.course`.

    Args:
        artifact: A model with transitions.
        x: (features,): what the model sees of the patient.
        horizon_days: From the landmark.
        worth: Of a day in each state, by name.
    """
    states = artifact.states
    assert states is not None  # noqa: S101 - for the type checker
    horizons = artifact.manifest.endpoint.horizons_days
    times = np.array([*(day for day in horizons if day < horizon_days), horizon_days])
    pictured = np.linspace(0.0, horizon_days, N_PICTURED)
    grid = np.union1d(times, pictured)
    found = states.course(x, grid)
    at = np.searchsorted(grid, times)
    points, draws = found.point[:, at], found.draws[:, :, at]
    low, high = np.quantile(draws, [TAIL, 1 - TAIL], axis=0)
    names = states.states

    def banded(kind: int, state: int) -> tuple[Banded, ...]:
        ends = (points[kind, :, state], low[kind, :, state], high[kind, :, state])
        return tuple(Banded(value=float(v), low=float(a), high=float(b)) for v, a, b in zip(*ends, strict=True))

    def weighed(weights: NDArray[np.float64]) -> Banded:
        a, b = np.quantile(draws[:, 2, -1] @ weights, [TAIL, 1 - TAIL])
        return Banded(value=float(points[2, -1] @ weights), low=float(a), high=float(b))

    always = Banded(value=1.0, low=1.0, high=1.0)
    beneficial = (np.arange(len(names)) < N_BENEFICIAL).astype(float)
    probability = found.point[0][np.searchsorted(grid, pictured)]
    return Transitions(
        times_days=floats(times),
        states={
            name: StateCourse(
                probability=banded(0, s), ever=banded(1, s) if s else (always,) * len(times), days=banded(2, s)
            )
            for s, name in enumerate(names)
        },
        benefit_days=weighed(beneficial),
        weighted_days=weighed(np.array([worth[name] for name in names])),
        picture_days=floats(pictured),
        picture={name: floats(probability[:, s]) for s, name in enumerate(names)},
    )
