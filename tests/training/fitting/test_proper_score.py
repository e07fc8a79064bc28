"""The integrated Brier score as a loss, against the one that evaluates models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.config import NetworkConfig, TrainerConfig
from training.evaluation.brier import brier_score
from training.fitting.network import fit_network
from training.fitting.proper_score import LEAST_UNCENSORED, integrated_brier, score_targets
from training.models.bins import interpolate, log_hazards

FloatArray = NDArray[np.float64]
EDGES = np.array([0.0, 40.5, 100.5, 180.5])


def cohort(seed: int, n: int, *, late: bool = False) -> Outcomes:
    """Two causes, censoring; times are whole days and never lie on an edge."""
    rng = np.random.default_rng(seed)
    duration = np.ceil(rng.exponential(120, n)) + 1
    entry = np.floor(rng.uniform(0, 0.9, n) * duration) if late else None
    return Outcomes(duration, rng.integers(0, 3, n), ("infection", "death"), entry)


def hazards(seed: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    logits = np.random.default_rng(seed).normal(-1.5, 1, (1, n, 2, len(EDGES) - 1))
    return log_hazards(torch.as_tensor(logits, dtype=torch.float32))


@given(st.integers(0, 10_000))
def test_equals_the_score_that_evaluates(seed: int) -> None:
    outcomes = cohort(seed, 60)
    targets = score_targets(outcomes, EDGES)
    cause, none = hazards(seed, 60)
    incidence = interpolate(cause[0].double().exp().numpy(), none[0].double().numpy(), EDGES, EDGES[1:])
    expected = brier_score(incidence, EDGES[1:], outcomes).sum(axis=0) @ np.diff(EDGES) / EDGES[-1]
    largest = float((targets.weight / torch.as_tensor(np.diff(EDGES) / EDGES[-1])).max())
    if np.isfinite(expected) and largest < 1 / LEAST_UNCENSORED - 1e-3:
        assert float(integrated_brier(cause, none, targets).mean()) == pytest.approx(expected, rel=1e-4)


def test_who_enters_late_is_judged_from_entry_on() -> None:
    """Before entry there is neither weight nor incidence."""
    outcomes = Outcomes(np.array([150.0, 150.0]), np.array([1, 1]), ("infection", "death"), np.array([0.0, 101.0]))
    targets = score_targets(outcomes, EDGES)
    assert targets.weight[1].tolist()[:2] == [0.0, 0.0]
    cause, none = hazards(0, 2)
    only_last = cause.exp()[0, 1, :, -1]
    expected = ((torch.tensor([1.0, 0.0]) - only_last) ** 2).sum() * targets.weight[1, -1]
    assert float(integrated_brier(cause, none, targets)[0, 1]) == pytest.approx(float(expected), rel=1e-5)


def test_the_true_hazards_score_best() -> None:
    """Proper: among perturbed hazards, none scores better than the true ones by more than chance."""
    rng = np.random.default_rng(0)
    time = np.ceil(rng.exponential(100, 20_000))
    end = np.minimum(time, np.ceil(rng.exponential(300, 20_000)))
    cause = np.where(time <= end, rng.choice([1, 2], p=[0.7, 0.3], size=20_000), 0)
    targets = score_targets(Outcomes(end, cause, ("infection", "death")), EDGES)
    any_event = -np.expm1(-np.diff(EDGES) / 100)

    def score(change: float) -> float:
        share = torch.as_tensor(np.outer([0.7, 0.3], any_event) * change, dtype=torch.float32)
        none = torch.log1p(-share.sum(dim=0))
        many = share.log()[None, None].expand(1, len(end), 2, 3)
        return float(integrated_brier(many, none[None, None].expand(1, len(end), 3), targets).mean())

    assert score(1.0) < min(score(0.8), score(1.2))


@pytest.mark.parametrize("late", [False, True])
def test_a_network_learns_from_it(late: bool) -> None:
    outcomes = cohort(3, 200, late=late)
    x = np.random.default_rng(1).normal(size=(200, 2))
    patient = np.array([f"p{i}" for i in range(200)], dtype=object)
    base = NetworkConfig(members=3, bins=5, hidden=3, max_epochs=5)
    times, landmark = np.array([60.0]), np.zeros(200)
    risks = [
        fit_network(
            x, outcomes, patient, base.model_copy(update={"score_weight": w}), TrainerConfig(accelerator="cpu"), seed=0
        ).incidence(x, landmark, times)
        for w in (0.0, 50.0)
    ]
    assert np.isfinite(risks[1]).all()
    assert not np.array_equal(*risks)
