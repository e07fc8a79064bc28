"""Data that the tests of all metrics share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.outcomes import Outcomes

CAUSES = ("infection", "death", "relapse")
Draw = Callable[..., tuple[Outcomes, NDArray[np.float64], NDArray[np.float64]]]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """`draw(seed, n, n_causes, tied)`: outcomes, times and an incidence (rows, causes, times) that is half right."""

    def _draw(
        seed: int, n: int = 60, n_causes: int = 2, *, tied: bool = True
    ) -> tuple[Outcomes, NDArray[np.float64], NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        x = np.round(rng.normal(size=n), 1)
        hazard = np.exp(0.5 * np.outer(x, (1.0, -0.5, 0.3)[:n_causes])) * np.array([0.05, 0.03, 0.02])[:n_causes]
        latent = np.column_stack([rng.exponential(40, n), rng.exponential(1 / hazard)])
        duration, cause = latent.min(axis=1), latent.argmin(axis=1)
        times = np.array([5.0, 10.0, 20.0, 30.0])
        free = np.exp(-hazard.sum(axis=1)[:, None] * times)
        incidence = (hazard / hazard.sum(axis=1, keepdims=True))[:, :, None] * (1 - free)[:, None, :]
        return Outcomes(np.ceil(duration) if tied else duration, cause, CAUSES[:n_causes]), times, incidence

    return _draw


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """Values computed by tests/golden/evaluation.R."""
    path = Path(__file__).resolve().parents[2] / "golden" / "evaluation.json"
    content: dict[str, Any] = json.loads(path.read_text())
    return content
