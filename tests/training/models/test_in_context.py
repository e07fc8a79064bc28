"""The in-context network: what does not matter does not, and it learns from simulated cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.config import TrainerConfig
from training.models.cohort_context import CohortContext, event_edges, expected_loss
from training.models.in_context import InContextModule, InContextSizes
from training.models.in_context_predictor import Cohort, InContext
from training.models.nonparametric import aalen_johansen
from training.pretrained import SHIPPED, read_weights
from training.pretrained.pretraining import Length, PretrainingConfig, Progress, Told, pretrain, true_course
from training.prior import simulate_tables

TINY = InContextSizes(width=16, blocks=2, heads=2, messages=4, functions=4, bins=8, shapes=4)
N_KNOWN = 60
CPU = TrainerConfig(accelerator="cpu", gradient_clip_norm=1.0)


def network(seed: int = 0) -> InContextModule:
    """With weights that say something: drawn ones, the last layer too."""
    generator = torch.Generator().manual_seed(seed)
    module = InContextModule(TINY)
    module.initialise(generator)
    with torch.no_grad():
        module.head.weight.copy_(torch.randn(module.head.weight.shape, generator=generator) * 0.3)
    return module.eval()


def questions(seed: int = 1) -> tuple[Tensor, Tensor, CohortContext]:
    """Tables, which columns are there, and what became of the first rows."""
    generator = torch.Generator().manual_seed(seed)
    batch = simulate_tables(generator, n_tables=3, n_rows=N_KNOWN + 20, n_columns=6, n_causes=2)
    time, cause, entry = (one[:, :N_KNOWN] for one in (batch.time, batch.cause, batch.entry))
    return batch.x, batch.there, CohortContext.of(event_edges(time, cause, TINY.bins), time, cause, entry, 1)


@torch.no_grad()
def test_the_order_of_rows_and_columns_does_not_matter() -> None:
    module, (x, there, context) = network(), questions()
    answer = module(x[:, :N_KNOWN], there, context, x[:, N_KNOWN:])
    assert answer.std(dim=1).max() > 0.05, "the answers differ between rows"
    generator = torch.Generator().manual_seed(2)
    rows, columns = torch.randperm(N_KNOWN, generator=generator), torch.randperm(6, generator=generator)
    shuffled = CohortContext(context.exposure[:, rows], context.event[:, rows], context.other[:, rows])
    again = module(x[:, rows][..., columns], there[:, columns], shuffled, x[:, N_KNOWN:][..., columns])
    torch.testing.assert_close(again, answer, rtol=0, atol=1e-4)


@torch.no_grad()
def test_neither_who_else_is_asked_about_nor_empty_columns_nor_other_tables_matter() -> None:
    module, (x, there, context) = network(), questions()
    answer = module(x[:, :N_KNOWN], there, context, x[:, N_KNOWN:])
    alone = module(x[:, :N_KNOWN], there, context, x[:, -1:])
    torch.testing.assert_close(alone[:, 0], answer[:, -1], rtol=0, atol=1e-5)
    wide, more = torch.nn.functional.pad(x, (0, 3)), torch.nn.functional.pad(there, (0, 3))
    padded = module(wide[:, :N_KNOWN], more, context, wide[:, N_KNOWN:])
    torch.testing.assert_close(padded, answer, rtol=0, atol=1e-5)
    first = CohortContext(context.exposure[:1], context.event[:1], context.other[:1])
    single = module(x[:1, :N_KNOWN], there[:1], first, x[:1, N_KNOWN:])
    torch.testing.assert_close(single, answer[:1], rtol=0, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@torch.no_grad()
def test_the_shipped_weights_answer_alike_on_processor_and_gpu() -> None:
    module = read_weights(SHIPPED)[0].eval()
    batch = simulate_tables(torch.Generator().manual_seed(4), n_tables=2, n_rows=200, n_columns=12, n_causes=3)
    edges = event_edges(batch.time, batch.cause, module.sizes.bins)
    context = CohortContext.of(edges, batch.time, batch.cause, batch.entry, 1)
    answer = module(batch.x, batch.there, context, batch.x)
    moved = CohortContext(*(one.cuda() for one in (context.exposure, context.event, context.other)))
    on_gpu = module.cuda()(batch.x.cuda(), batch.there.cuda(), moved, batch.x.cuda())
    torch.testing.assert_close(on_gpu.cpu(), answer, rtol=0, atol=1e-3)


def cohort(seed: int = 3, n: int = 80) -> tuple[np.ndarray, Outcomes]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    x[:, 4] = 1.0  # the same in all rows
    duration, cause = rng.exponential(300, n) + 1, rng.integers(0, 3, n)
    return x, Outcomes(np.ceil(duration), cause, ("infection", "death"))


def test_a_predictor_is_rebuilt_from_its_state() -> None:
    x, outcomes = cohort()
    first = InContext(network(), Cohort.of(x, outcomes))
    again = InContext.from_state(*first.state())
    days, times = np.zeros(len(x)), np.linspace(1, 2000, 30)
    incidence = first.incidence(x, days, times)
    np.testing.assert_array_equal(incidence, again.incidence(x, days, times))
    assert (np.diff(incidence, axis=2) >= 0).all()
    assert incidence.sum(axis=1).max() <= 1
    np.testing.assert_allclose(incidence[:1], first.incidence(x[:1], days[:1], times), atol=1e-6)


def test_a_network_that_has_learnt_nothing_gives_the_cohorts_own_incidence() -> None:
    module = InContextModule(InContextSizes(width=16, blocks=1, heads=2, messages=4, functions=4))
    module.initialise(torch.Generator().manual_seed(0))
    x, outcomes = cohort(n=2000)
    times = np.quantile(outcomes.duration_days, [0.2, 0.5, 0.8])
    incidence = InContext(module, Cohort.of(x, outcomes)).incidence(x[:1], np.zeros(1), times)
    np.testing.assert_allclose(incidence[0], aalen_johansen(outcomes).at(times), atol=0.01)


def test_exposure_and_events_add_up() -> None:
    time, cause = torch.tensor([[1.0, 2.0, 3.0, 4.0, 4.0]]), torch.tensor([[1, 0, 2, 1, 0]])
    edges = torch.tensor([[0.0, 2.0, 3.5]])
    context = CohortContext.of(edges, time, cause, torch.tensor([[0.0, 1.0, 0.0, 0.0, 2.0]]), which=1)
    expected = torch.tensor([[0.5, 0.0], [0.5, 0.0], [1.0, 2 / 3], [1.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(context.exposure[0], expected)
    assert context.event[0].tolist() == [[1, 0], [0, 0], [0, 0], [0, 0], [0, 0]]  # the fourth ends beyond the bins
    assert context.other[0].tolist() == [[0, 0], [0, 0], [0, 1], [0, 0], [0, 0]]


def test_the_true_hazards_have_the_smallest_loss() -> None:
    generator = torch.Generator().manual_seed(6)
    batch = simulate_tables(generator, n_tables=4, n_rows=50, n_columns=5, n_causes=2)
    edges = event_edges(batch.time, batch.cause, 8)
    events, exposure = true_course(batch, edges)
    events = events[:, :, 0].clamp(min=1e-9)
    true = (events / exposure.clamp(min=1e-6)).log()
    best = expected_loss(true, events, exposure)
    for step in (-0.3, 0.3):
        assert (expected_loss(true + step, events, exposure) > best).all()


def test_pretraining_learns_and_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    sizes = {"rows": 800, "most_rows": 100, "most_columns": 6, "most_causes": 2}
    config = PretrainingConfig(**sizes, warmup_steps=10, learning_rate=5e-3, matrix_learning_rate=1e-2)

    def runs(state: Path) -> tuple[list[float], InContextModule, Progress]:
        explained: list[float] = []
        for _ in range(2):
            module, progress = pretrain(
                state,
                Length(steps=60),
                CPU,
                sizes=TINY,
                config=config,
                listener=lambda told: explained.append(told.explained),
            )
        return explained, module, progress

    explained, module, progress = runs(tmp_path / "one.safetensors")
    assert (len(explained), progress.steps) == (120, 45 + 60)  # the second goes on from before the first one's fall
    assert np.mean(explained[-20:]) > max(0.01, np.mean(explained[:20]))
    assert progress.tables > 2 * progress.steps
    again, same, _ = runs(tmp_path / "two.safetensors")
    assert again == explained
    for name, value in module.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])


def test_what_pretraining_cannot_go_on_from_is_refused(tmp_path: Path) -> None:
    state, config = tmp_path / "state", PretrainingConfig(rows=100, most_rows=40, most_columns=4)
    pretrain(state, Length(steps=4), CPU, sizes=TINY, config=config)
    kept = state.read_bytes()
    with pytest.raises(SequelaError, match="state: is no state of this network and optimizer"):
        pretrain(state, Length(steps=4), CPU, config=config)
    assert state.read_bytes() == kept


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"precision": "16-mixed"}, r"trainer\.precision: 16-mixed scales its loss"),
        ({"compile": True}, r"trainer\.compile: pre-training is not compiled"),
        ({"accumulate_batches": 4}, r"trainer\.accumulate_batches: 4, but .*; leave it at 1, and set rows"),
    ],
    ids=["precision", "compile", "accumulate_batches"],
)
def test_what_pretraining_does_not_do_is_refused(asked: dict[str, Any], said: str, tmp_path: Path) -> None:
    config = PretrainingConfig(rows=100, most_rows=40, most_columns=4)
    with pytest.raises(SequelaError, match=said):
        pretrain(tmp_path / "state", Length(steps=4), CPU.model_copy(update=asked), sizes=TINY, config=config)


@pytest.mark.parametrize("deterministic", [False, True])
def test_pretraining_is_deterministic_where_that_is_asked(deterministic: bool, tmp_path: Path) -> None:
    config = PretrainingConfig(rows=100, most_rows=40, most_columns=4)
    trainer, seen = CPU.model_copy(update={"deterministic": deterministic}), list[bool]()

    def listener(_: Told) -> None:
        seen.append(torch.are_deterministic_algorithms_enabled())

    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(not deterministic)
        pretrain(tmp_path / "state", Length(steps=2), trainer, sizes=TINY, config=config, listener=listener)
    finally:
        torch.use_deterministic_algorithms(before)
    assert set(seen) == {deterministic}
