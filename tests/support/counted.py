"""Expected numbers of events of nobody, and simulated ones whose truth is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.records import PatientRecord
from features.recurrence import Recurrences
from training.artifact.blocks import CountsBlock
from training.artifact.parts import counts_of_example
from training.models.expected_counts import ExpectedCounts
from training.models.mean_count import ProportionalMeans
from training.models.risk_model import FittedRiskModel

EVENT_RATE, DEATH_RATE = 0.01, 0.004
"""A day."""


def counts_for(n_features: int, landmark_days: tuple[float, ...] = (0.0, 30.0)) -> ExpectedCounts:
    """Small effects, and a mean of its own from each landmark."""
    rng = np.random.default_rng(0)
    beta = rng.normal(size=n_features) / 10
    drawn = [(np.sort(rng.uniform(1, 300, 20)), rng.exponential(0.02, 20)) for _ in landmark_days]
    return ExpectedCounts(landmark_days, tuple(ProportionalMeans(beta, *one, 3.0) for one in drawn))


def block_of(
    model: FittedRiskModel, counts: ExpectedCounts, patient: PatientRecord, times_days: tuple[float, ...]
) -> CountsBlock:
    """What the manifest says of them."""
    return CountsBlock(
        event="infection",
        terminal_events=("death",),
        landmark_days=counts.landmark_days,
        n_times=counts.n_times,
        n_patients=90,
        n_events=120,
        penalty=counts.penalty,
        scores=(),
        example=counts_of_example(model, counts, patient, times_days),
    )


def simulated_counts(effect: NDArray[np.float64], seed: int, last_day: float = 500.0) -> Recurrences:
    """Events at `EVENT_RATE` · e^effect (rows,) a day until death at `DEATH_RATE`; censoring even over the last day.

    E N(t) = EVENT_RATE e^effect (1 − e^(−DEATH_RATE t)) / DEATH_RATE.
    """
    rng = np.random.default_rng(seed)
    death, censored = rng.exponential(1 / DEATH_RATE, len(effect)), rng.uniform(0, last_day, len(effect))
    end = np.minimum(death, censored)
    row = np.repeat(np.arange(len(effect)), rng.poisson(EVENT_RATE * np.exp(effect) * end))
    day = rng.uniform(0, 1, len(row)) * end[row]
    return Recurrences(end, (death < censored).astype(np.int64), row, day, "infection", ("death",))


def true_mean(time_days: float) -> float:
    """Of a patient without effect."""
    return EVENT_RATE * (1 - float(np.exp(-DEATH_RATE * time_days))) / DEATH_RATE
