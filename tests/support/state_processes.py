"""Multi-state processes: golden ones read, known ones drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from features.states import STAYS, StateHistories

STATES = ("event-free", "infection", "relapse", "death")
DAILY = np.array(
    [[0.0, 0.002, 0.0015, 0.0005], [0.0, 0.0, 0.0025, 0.002], [0.0, 0.0, 0.0, 0.004], [0.0, 0.0, 0.0, 0.0]]
)
"""Hazards of the moves of drawn patients, a day."""


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
    seed: int,
    n: int = 60,
    *,
    daily: NDArray[np.float64] = DAILY,
    censored: tuple[float, float] = (50.0, 900.0),
    late: float = 0.0,
    whole_days: bool = True,
) -> StateHistories:
    """Patients of a Markov process, censored evenly; a share is observed late, from a day up to 100 on."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[float, ...]] = []
    n_seen = 0
    for _ in range(n):
        end, entry = rng.uniform(*censored), float(np.floor(rng.uniform(0, 100))) * (rng.random() < late)
        end = float(np.ceil(end)) if whole_days else end
        state, now, own = 0, 0.0, []
        while now < end and daily[state].any():
            time = now + rng.exponential(1 / daily[state].sum())
            time = max(float(np.ceil(time)), now + 1) if whole_days else time
            target = int(rng.choice(len(daily), p=daily[state] / daily[state].sum()))
            if min(time, end) > entry:
                own.append((state, max(now, entry), min(time, end), target if time <= end else STAYS, now))
            state, now = target, time
        rows += [(n_seen, *row) for row in own]
        n_seen += bool(own)
    names = ("id", "state", "start", "stop", "next_state", "entered")
    return histories_of(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), STATES[: len(daily)])


def true_values(daily: NDArray[np.float64], day: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(states,) each: probability at a day and expected days until then, by the exponential of the rates."""
    rates = daily - np.diag(daily.sum(axis=1))
    n = len(rates)
    both = np.zeros((2 * n, 2 * n))  # Van Loan, IEEE Trans Autom Control 1978;23:395
    both[:n, :n], both[:n, n:] = rates, np.eye(n)
    whole = expm(both * day)
    return whole[0, :n], whole[0, n:]
