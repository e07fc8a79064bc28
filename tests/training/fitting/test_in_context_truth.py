"""The weights that ship, on cohorts that their prior does not make: other hazards, other marginals, known truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hazard_cohorts import nobodys_names
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.config import InContextConfig, TrainerConfig
from training.evaluation.calibration_curve import calibration_distances
from training.fitting.in_context import fit_in_context
from training.models.nonparametric import aalen_johansen

CPU = TrainerConfig(accelerator="cpu")
GRID = np.linspace(0.0, 3.0, 301)
"""Years; hazards are constant in each step."""
TIMES = np.linspace(0.3, 2.4, 8)
HORIZON = 3
"""Of the times: until then most patients are followed, and the cohort's own level is known to 0.02."""
N_READ, N_ASKED = 300, 1000
LARGEST_ICI = 0.03
LARGEST_LOSS = 0.002
"""Of integrated Brier score against Aalen–Johansen, where nothing is predictive."""


@dataclass(frozen=True)
class Study:
    """Patients, what became of them, and what was expected to."""

    x: NDArray[np.float64]
    outcomes: Outcomes
    incidence: NDArray[np.float64]
    """(rows, causes, times)."""


def traits(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Two groups of patients, a gamma-distributed laboratory, a count of many zeros, a rate, and five centres."""
    group = rng.random(n) < 0.3
    columns = [
        rng.normal(np.where(group, 2.5, 0.0), 1.0),
        rng.gamma(0.7, 1.0, n),
        rng.poisson(0.4, n) * rng.integers(1, 9, n),
        rng.beta(0.5, 0.5, n),
        *(np.arange(5)[:, None] == rng.choice(5, n, p=[0.5, 0.2, 0.15, 0.1, 0.05])),
    ]
    return np.column_stack(columns).astype(float)


def study(seed: int, effect: float) -> Study:
    """An accelerated log-logistic cause and a Gompertz cause with additive effects, neither of them in the prior."""
    rng = np.random.default_rng([77, seed])
    n = N_READ + N_ASKED
    x = traits(rng, n)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    sooner = effect * (0.5 * z[:, 0] + 0.4 * np.minimum(z[:, 1], 2.0) - 0.4 * z[:, 3] * (z[:, 0] > 0))
    more = effect * np.clip(0.25 * z[:, 2] + 0.3 * x[:, 6], -0.6, 1.5)
    middle = (GRID[1:] + GRID[:-1]) / 2
    age = middle * np.exp(sooner)[:, None] / 1.6
    log_logistic = np.exp(sooner)[:, None] * 1.8 * age**0.8 / 1.6 / (1 + age**1.8)
    gompertz = 0.15 * np.exp(0.5 * middle) * (1 + np.maximum(more, -0.8))[:, None]
    expected = np.stack([log_logistic, gompertz], axis=1) * np.diff(GRID)
    total = expected.sum(axis=1)
    after = np.exp(-np.cumsum(total, axis=1))
    before = np.concatenate([np.ones((n, 1)), after[:, :-1]], axis=1)
    incidence = np.cumsum(expected / total[:, None] * (before - after)[:, None], axis=2)
    level = rng.random(n)
    step = (after > level[:, None]).sum(axis=1)
    inside = np.minimum(step, len(middle) - 1)
    first = expected[np.arange(n), 0, inside] / total[np.arange(n), inside]
    cause = np.where(rng.random(n) < first, 1, 2)
    time = np.where(step < len(middle), GRID[inside] + rng.random(n) * np.diff(GRID)[inside], np.inf)
    censored = np.minimum(rng.exponential(4.0, n), rng.uniform(1.0, 3.0, n))
    seen = time <= censored
    outcomes = Outcomes(np.minimum(time, censored), np.where(seen, cause, 0), ("infection", "death"))
    at = np.round(TIMES / 3.0 * len(middle)).astype(int) - 1
    return Study(x, outcomes, incidence[:, :, at])


def answers(one: Study) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of the model, of Aalen–Johansen, and the truth, (asked, causes, times) each."""
    read = np.arange(N_READ)
    known = one.outcomes.take(read)
    model = fit_in_context(one.x[read], known, nobodys_names(N_READ), InContextConfig(), CPU, seed=0)
    found = model.incidence(one.x[N_READ:], np.zeros(N_ASKED), TIMES)
    same = np.broadcast_to(aalen_johansen(known).at(TIMES), found.shape)
    return found, same, one.incidence[N_READ:]


def test_risks_are_calibrated_and_better_than_the_same_for_everyone() -> None:
    ici, ours, for_everyone = [], [], []
    for seed in range(8):
        found, same, truth = answers(study(seed, effect=1.0))
        ici += [calibration_distances(found[:, k, HORIZON], truth[:, k, HORIZON]).ici for k in range(2)]
        ours.append(np.square(found - truth).mean())
        for_everyone.append(np.square(same - truth).mean())
    assert np.mean(ici) <= LARGEST_ICI
    assert np.mean(ours) < 0.4 * np.mean(for_everyone)


def test_where_nothing_is_predictive_little_is_lost() -> None:
    """The expected Brier score of an incidence is that of the truth and the squared distance from it."""
    lost = []
    for seed in range(8):
        found, same, truth = answers(study(seed, effect=0.0))
        lost.append(np.square(found - truth).mean(axis=(0, 2)) - np.square(same - truth).mean(axis=(0, 2)))
    assert np.mean(lost) <= LARGEST_LOSS
    assert np.max(lost) <= 2 * LARGEST_LOSS


def test_who_had_the_event_before_a_late_entry_is_not_forgotten() -> None:
    """In a cohort of those who were free of events when observation began, risks are from day 0 on all the same."""
    off, ours, for_everyone = [], [], []
    for seed in range(6):
        rng = np.random.default_rng([78, seed])
        x = rng.normal(size=(3000, 2))
        ratio = np.exp(0.7 * x[:, 0])
        time, cause = rng.exponential(600 / (1 + ratio)), np.where(rng.random(3000) < ratio / (1 + ratio), 1, 2)
        entry = rng.uniform(0, 400, 3000)
        end = entry + rng.uniform(50, 600, 3000)
        read, asked = np.flatnonzero(time[:2000] > entry[:2000])[:400], np.arange(2000, 3000)
        known = Outcomes(np.minimum(time, end), np.where(time <= end, cause, 0), ("a", "b"), entry).take(read)
        days = np.array([100.0, 300.0])
        gone = -np.expm1(-(1 + ratio[asked, None]) * days / 600)
        truth = np.stack([gone * (ratio / (1 + ratio))[asked, None], gone / (1 + ratio)[asked, None]], axis=1)
        model = fit_in_context(x[read], known, nobodys_names(len(read)), InContextConfig(), CPU, seed=0)
        found, same = model.incidence(x[asked], np.zeros(1000), days), aalen_johansen(known).at(days)
        off.append((found - truth).sum(axis=1).mean(axis=0))
        ours.append(np.square(found - truth).mean())
        for_everyone.append(np.square(same - truth).mean())
    assert np.abs(np.mean(off, axis=0)).max() < 0.07
    assert np.mean(ours) < 0.7 * np.mean(for_everyone)
