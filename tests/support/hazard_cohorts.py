"""Simulated outcomes with constant cause-specific hazards, of which everything is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes

CAUSES = ("infection", "death")
INFECTION = np.array([0.8, -0.5, 0.0])
DEATH = np.array([0.4, 0.0, 0.0])
DAILY = np.array([0.004, 0.002])


def hazards(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, causes): hazards a day of patients with features (rows, 3)."""
    return DAILY * np.exp(np.column_stack([x @ INFECTION, x @ DEATH]))


def true_incidence(daily: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, causes, times)."""
    total = daily.sum(axis=1, keepdims=True)
    incidence: NDArray[np.float64] = (daily / total)[:, :, None] * -np.expm1(-total * times_days)[:, None]
    return incidence


def draw(
    rng: np.random.Generator, n: int, longest_days: float = 900.0
) -> tuple[NDArray[np.float64], Outcomes, NDArray[np.float64]]:
    """Features (n, 3), outcomes censored at random until `longest_days`, and the times had nobody been censored."""
    x = rng.normal(size=(n, 3))
    daily = hazards(x)
    time = rng.exponential(1 / daily.sum(axis=1))
    cause = 1 + (rng.random(n) > daily[:, 0] / daily.sum(axis=1))
    censored = rng.uniform(0, longest_days, n)
    return x, Outcomes(np.minimum(time, censored), np.where(time <= censored, cause, 0), CAUSES), time


def nobodys_names(n: int) -> NDArray[Any]:
    """(n,): one identifier a row."""
    return np.array([f"p{i}" for i in range(n)], dtype=object)


class Distorted:
    """A predictor that knows the truth and tells it with another level and spread of the first cause's hazard."""

    kind = "distorted"

    def __init__(self, spread: float = 1.0, level: float = 0.0) -> None:
        self.spread, self.level = spread, level

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        log_ratio = x @ INFECTION
        daily = hazards(x)
        daily[:, 0] *= np.exp(self.level + (self.spread - 1) * log_ratio)
        return true_incidence(daily, times_days)
