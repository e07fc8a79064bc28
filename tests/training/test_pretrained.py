"""Weights that ship, and the file they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.config import InContextConfig, TrainerConfig
from training.fitting import in_context_tuning
from training.fitting.in_context import fit_in_context
from training.models.in_context import InContextModule, InContextSizes
from training.models.nonparametric import aalen_johansen
from training.pretrained import SHIPPED, Origin, read_weights, write_weights
from training.prior import VERSION, TableBatch, simulate_tables

CPU = TrainerConfig(accelerator="cpu")
TIMES = np.array([0.2, 0.5, 0.9])
MOST_BYTES = 24 * 2**20


def test_what_ships_is_small_and_says_how_it_came_about() -> None:
    module, origin = read_weights()
    assert SHIPPED.stat().st_size <= MOST_BYTES
    assert module.sizes == InContextSizes()
    assert origin.prior == VERSION
    assert origin.tables > 10 * origin.steps > 0
    assert sum(origin.hours.values()) > 0


def test_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    module = InContextModule(InContextSizes(width=16, blocks=1, heads=2))
    module.initialise(torch.Generator().manual_seed(0))
    origin = Origin(prior=1, seed=3, steps=20, tables=400, hours={"a processor": 0.5, "a GPU": 0.1})
    write_weights(tmp_path / "deep" / "w.safetensors", module, origin)
    again, same = read_weights(tmp_path / "deep" / "w.safetensors")
    assert same == origin
    for name, value in module.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["w.safetensors"]


def test_what_holds_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match=r"none\.safetensors: no such file; weights are what `sequela pretrain`"):
        read_weights(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("no weights")
    for path in (tmp_path / "text", Path("tests/golden/artifacts/v1/weights.safetensors").resolve()):
        with pytest.raises(SequelaError, match=r"holds no in-context network"):
            read_weights(path)


def simulated(number: int) -> TableBatch:
    """Tables that nobody trained on: their seeds are negative."""
    generator = torch.Generator().manual_seed(-1 - number)
    return simulate_tables(generator, n_tables=1, n_rows=400, n_columns=8, n_causes=2)


def test_what_ships_is_nearer_to_the_truth_than_the_same_risk_for_everyone() -> None:
    errors = []
    for number in range(12):
        batch = simulated(number)
        x, known = batch.x[0].double().numpy(), slice(0, 300)
        days = np.maximum(batch.time[0].double().numpy(), 1e-6)
        outcomes = Outcomes(days, batch.cause[0].numpy(), ("infection", "death"), batch.entry[0].double().numpy())
        ids = np.array([f"p{i}" for i in range(300)], dtype=object)
        mine = outcomes.take(np.arange(300))
        model = fit_in_context(x[known], mine, ids, InContextConfig(), CPU, seed=0)
        found = model.incidence(x[300:], np.zeros(100), TIMES)
        steps = np.round(TIMES * batch.incidence.shape[-1]).astype(int) - 1
        truth = batch.incidence[0, 300:, :, steps].double().numpy()
        same = aalen_johansen(mine).at(TIMES)
        errors.append([np.square(one - truth).mean() ** 0.5 for one in (found, same)])
    ours, for_everyone = np.mean(errors, axis=0)
    assert ours < 0.85 * for_everyone


def test_of_a_large_cohort_whole_patients_are_drawn() -> None:
    rng = np.random.default_rng(0)
    ids = np.repeat([f"p{i}" for i in range(40)], 3).astype(object)
    x = np.repeat(np.arange(40.0), 3)[:, None]
    outcomes = Outcomes(rng.integers(1, 90, 120).astype(float), rng.integers(0, 2, 120), ("infection",))
    model = fit_in_context(x, outcomes, ids, InContextConfig(context_rows=50), CPU, seed=4)
    assert np.unique(model.cohort.x, return_counts=True)[1].tolist() == [3] * 16
    other = fit_in_context(x, outcomes, ids, InContextConfig(context_rows=50), CPU, seed=5)
    assert not np.array_equal(model.cohort.x, other.cohort.x)
    assert len(fit_in_context(x, outcomes, ids, InContextConfig(), CPU, seed=4).cohort.x) == 120


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_fine_tuning_of_rows_of_patients_who_enter_late(precision: Any) -> None:
    rng = np.random.default_rng(3)
    x = np.repeat(rng.normal(size=(40, 3)), 2, axis=0)
    entry = rng.uniform(0, 5, 80)
    outcomes = Outcomes(entry + rng.exponential(50.0, 80), rng.integers(0, 3, 80), ("infection", "death"), entry)
    ids = np.repeat([f"p{i}" for i in range(40)], 2).astype(object)
    trainer = TrainerConfig(accelerator="cpu", precision=precision)
    model = fit_in_context(x, outcomes, ids, InContextConfig(tuning_steps=2), trainer, seed=0)
    answer = model.incidence(x, np.zeros(80), np.array([20.0]))
    assert np.isfinite(answer).all()
    assert (answer.sum(axis=1) <= 1).all()


def test_fine_tuning_learns_from_the_cohort_and_leaves_the_weights_that_ship_alone() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 2))
    days = rng.exponential(np.where(x[:, 0] > 0, 20.0, 200.0))
    outcomes = Outcomes(np.minimum(days, 300.0), np.where(days < 300, 1, 0), ("infection",))
    ids = np.array([f"p{i}" for i in range(200)], dtype=object)
    plain, tuned, again = (
        fit_in_context(x, outcomes, ids, InContextConfig(tuning_steps=steps, tuning_rate=1e-3), CPU, seed=0)
        for steps in (0, 8, 8)
    )
    answers = [one.incidence(x[:50], np.zeros(50), np.array([30.0]))[:, 0, 0] for one in (plain, tuned, again)]
    assert np.abs(answers[1] - answers[0]).max() > 1e-3
    np.testing.assert_array_equal(answers[1], answers[2])
    assert torch.equal(plain.module.head.weight, read_weights()[0].head.weight)
    assert not torch.equal(tuned.module.head.weight, plain.module.head.weight)


def test_the_more_events_the_further_fine_tuning_moves_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    ids = np.repeat([f"p{i}" for i in range(40)], 2).astype(object)  # two landmarks of each
    cause = np.where(np.arange(80) < 50, 1, 0)
    outcomes = Outcomes(rng.exponential(50.0, 80), cause, ("infection",))
    x = rng.normal(size=(80, 2))

    def weights() -> torch.Tensor:
        config = InContextConfig(tuning_steps=2)
        return fit_in_context(x, outcomes, ids, config, CPU, seed=0).module.head.weight

    found = weights()
    monkeypatch.setattr(in_context_tuning, "WORTH_EVENTS", 0.0)
    last, came_with = weights(), read_weights()[0].head.weight
    assert not torch.equal(last, came_with)
    torch.testing.assert_close(found, torch.lerp(came_with, last, 25 / 125))


def test_a_cohort_without_events_is_refused() -> None:
    outcomes = Outcomes(np.full(40, 9.0), np.zeros(40, dtype=np.int64), ("infection",))
    with pytest.raises(SequelaError, match="in_context: no event of any cause"):
        fit_in_context(np.zeros((40, 1)), outcomes, np.arange(40).astype(object), InContextConfig(), CPU, seed=0)
