"""Multi-state processes: golden ones read, known ones drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from benchmarks.states_coverage import DAILY, STATES, draw
from features.states import StateHistories

__all__ = ["DAILY", "STATES", "drawn", "histories_of", "true_values"]


def histories_of(table: Mapping[str, Sequence[float]], states: tuple[str, ...]) -> StateHistories:
    """Stays from the columns of a golden case."""
    column = {name: np.asarray(values) for name, values in table.items()}
    patient = column["id"].astype(np.int64)
    return StateHistories(
        patient,
        column["state"].astype(np.int64),
        column["start"].astype(float),
        column["stop"].astype(float),
        column["next_state"].astype(np.int64),
        column["entered"].astype(float),
        states,
        int(patient.max()) + 1,
    )


def drawn(
    seed: int, n: int = 60, *, daily: NDArray[np.float64] = DAILY, late: float = 0.0, whole_days: bool = True
) -> StateHistories:
    """Patients of a Markov process; see `benchmarks.states_coverage.draw`."""
    return draw(np.random.default_rng(seed), n, daily, late=late, whole_days=whole_days)


def true_values(daily: NDArray[np.float64], day: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(states,) each: probability at a day and expected days until then, by the exponential of the rates."""
    rates = daily - np.diag(daily.sum(axis=1))
    n = len(rates)
    both = np.zeros((2 * n, 2 * n))  # Van Loan, IEEE Trans Autom Control 1978;23:395
    both[:n, :n], both[:n, n:] = rates, np.eye(n)
    whole = expm(both * day)
    return whole[0, :n], whole[0, n:]
