"""DeepHit: its losses, its fitting."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.config import DeepHitConfig, TrainerConfig
from training.fitting.deephit import fit_deephit, likelihood_loss, places, ranking_loss
from training.models.deephit import DeepHit, DeepHitModule, DeepHitSizes
from training.models.nonparametric import aalen_johansen

CPU = TrainerConfig(accelerator="cpu")
EDGES = np.array([0.0, 10.0, 30.0, 60.0, 100.0])
FloatArray = NDArray[np.float64]


def ids(n: int) -> NDArray[np.object_]:
    return np.array([f"p{i:03d}" for i in range(n)], dtype=object)


def some_outcomes(seed: int, n: int) -> Outcomes:
    rng = np.random.default_rng(seed)
    entry = np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0, 50, n))
    return Outcomes(entry + rng.uniform(1, 80, n), rng.integers(0, 3, n), ("infection", "death"), entry)


def some_pmf(seed: int, n: int) -> torch.Tensor:
    logits = np.random.default_rng(seed).normal(size=(n, 2 * (len(EDGES) - 1) + 1))
    return torch.as_tensor(logits).log_softmax(dim=1)


def incidence_by(pmf: FloatArray, day: float) -> FloatArray:
    """(causes,): of one row with pmf (causes, bins), the mass of a bin lying evenly in it; a slow definition."""
    total = np.zeros(len(pmf))
    for j in range(len(EDGES) - 1):
        share = min(max((day - EDGES[j]) / (EDGES[j + 1] - EDGES[j]), 0.0), 1.0)
        total += share * pmf[:, j]
    return total


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_likelihood_is_the_papers(seed: int) -> None:
    outcomes, log_pmf = some_outcomes(seed, 8), some_pmf(seed, 8)
    found = likelihood_loss(log_pmf, places(outcomes, EDGES), 2)
    entry = outcomes.entry_days
    assert entry is not None
    for i in range(8):
        pmf = log_pmf[i, :-1].exp().numpy().reshape(2, -1)
        end, cause = outcomes.duration_days[i], outcomes.cause[i]
        start = entry[i]
        if cause > 0 and end <= EDGES[-1]:
            own = int(np.searchsorted(EDGES, end)) - 1
            start = min(start, EDGES[own])
            expected = -math.log(pmf[cause - 1, own])
        else:
            expected = -math.log(1 - incidence_by(pmf, end).sum())
        expected += math.log(1 - incidence_by(pmf, start).sum())
        assert float(found[i]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_ranking_loss_is_the_papers(seed: int) -> None:
    outcomes, log_pmf = some_outcomes(seed, 7), some_pmf(seed, 7)
    at, entry = places(outcomes, EDGES), outcomes.entry_days
    assert entry is not None
    incidence = log_pmf[:, :-1].exp().numpy().reshape(7, 2, -1).cumsum(axis=2)
    expected = 0.0
    for i in range(7):
        k, own = int(at.cause[i]) - 1, int(at.bin[i])
        for j in range(7):
            later = int(at.bin[j]) > own or (int(at.bin[j]) == own and int(at.cause[j]) == 0)
            if k >= 0 and later and entry[j] < outcomes.duration_days[i]:
                expected += math.exp(-(incidence[i, k, own] - incidence[j, k, own]) / 0.1) / 49
    assert float(ranking_loss(log_pmf, at, 2, 0.1)) == pytest.approx(expected, rel=1e-6)


def test_incidence_passes_through_the_sums_of_the_bins() -> None:
    module = DeepHitModule(DeepHitSizes(3, 2, 4, 5, 5))
    module.initialise(torch.Generator().manual_seed(0))
    x = np.random.default_rng(0).normal(size=(4, 3))
    pmf = module(torch.as_tensor(x, dtype=torch.float32)).double().exp().detach().numpy()[:, :-1].reshape(4, 2, 4)
    found = DeepHit(module, EDGES).incidence(x, np.zeros(4), np.array([5.0, 10.0, 60.0, 100.0, 1e4]))
    sums = pmf.cumsum(axis=2)
    expected = np.stack([sums[..., 0] / 2, sums[..., 0], sums[..., 2], sums[..., 3], sums[..., 3]], axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def planted(seed: int, n: int) -> tuple[FloatArray, Outcomes]:
    """Hazards 0.004 exp(x₀²) and 0.003: no linear model sees it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    latent = np.column_stack(
        [rng.exponential(1 / (0.004 * np.exp(x[:, 0] ** 2))), rng.exponential(1 / 0.003, n), np.full(n, 400.0)]
    )
    return x, Outcomes(latent.min(axis=1), np.array([1, 2, 0])[latent.argmin(axis=1)], ("infection", "death"))


def test_it_learns_what_is_not_linear() -> None:
    x, outcomes = planted(0, 1500)
    model = fit_deephit(x, outcomes, ids(1500), DeepHitConfig(bins=8), CPU, seed=0)
    low, high = model.incidence(np.array([[0.0, 0.0], [1.8, 0.0]]), np.zeros(2), np.array([100.0]))[:, 0, 0]
    truth = [h / (h + 0.003) * -math.expm1(-100 * (h + 0.003)) for h in (0.004, 0.004 * math.exp(1.8**2))]
    assert low == pytest.approx(truth[0], abs=0.12)
    assert high == pytest.approx(truth[1], abs=0.2)


def test_who_enters_late_does_not_lower_the_risk_of_all() -> None:
    """Two causes of one constant hazard; most patients enter late, and early events are seen less often."""
    differences = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        days, entry = (
            rng.exponential(300.0, 3000),
            np.where(rng.random(3000) < 0.15, 0.0, rng.uniform(0.0, 400.0, 3000)),
        )
        censored, cause = entry + rng.uniform(50.0, 600.0, 3000), rng.integers(1, 3, 3000)
        seen = np.flatnonzero(days > entry)[:400]
        cause = np.where(days <= censored, cause, 0)[seen]
        outcomes = Outcomes(np.minimum(days, censored)[seen], cause, ("infection", "death"), entry[seen])
        x = rng.normal(size=(400, 2))
        network = fit_deephit(x, outcomes, ids(400), DeepHitConfig(), CPU, seed=seed)
        risk = network.incidence(x, np.zeros(400), np.array([100.0]))[:, :, 0].sum(axis=1).mean()
        differences.append(risk - float(aalen_johansen(outcomes).at(np.array([100.0])).sum()))
    assert np.abs(np.mean(differences)) < 0.035


def test_training_leaves_the_global_generator_alone() -> None:
    x, outcomes = planted(1, 60)
    before = torch.get_rng_state()
    fit_deephit(x, outcomes, ids(60), DeepHitConfig(bins=4, max_epochs=2), CPU, seed=0)
    assert torch.equal(before, torch.get_rng_state())
