"""The discrete-hazard network: its definition, its likelihood, its fitting."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.config import NetworkConfig, TrainerConfig
from training.fitting import network as network_fit
from training.fitting.binning import bin_edges, to_bins
from training.fitting.network import HazardTraining, begin_linear, fit_network
from training.loops.batches import RowBatch
from training.models.bins import interpolate, log_hazards
from training.models.cox import CauseSpecificCox
from training.models.network import HazardNetwork, NetworkSizes, PackedHazards
from training.models.packed_incidence import ROWS_AT_ONCE, PackedIncidence

CPU = TrainerConfig(accelerator="cpu")
TINY = NetworkConfig(members=4, hidden=4, max_epochs=20, bins=6, batch_rows=64)
FloatArray = NDArray[np.float64]


def ids(n: int) -> NDArray[np.object_]:
    return np.array([f"p{i:03d}" for i in range(n)], dtype=object)


def exponential(seed: int, n: int, n_causes: int = 2) -> tuple[FloatArray, Outcomes]:
    """Constant hazards 0.004 exp(0.8 x₀) and 0.003, censoring at a rate of 0.002 and at 600 days."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    latent = np.column_stack([rng.exponential(1 / hazards(x)), np.minimum(rng.exponential(500, n), 600)])
    latent = np.delete(latent, 1, axis=1) if n_causes == 1 else latent
    cause = np.append(np.arange(1, n_causes + 1), 0)[latent.argmin(axis=1)]
    return x, Outcomes(latent.min(axis=1), cause, ("infection", "death")[:n_causes])


def hazards(x: FloatArray) -> FloatArray:
    return np.column_stack([0.004 * np.exp(0.8 * x[:, 0]), np.full(len(x), 0.003)])


def random_hazards(seed: int, shape: tuple[int, ...], n_bins: int) -> tuple[FloatArray, FloatArray]:
    """Hazards (…, causes, bins) and log P(none) (…, bins)."""
    logits = torch.as_tensor(np.random.default_rng(seed).normal(-2, 1, (*shape, n_bins)))
    cause, none = log_hazards(logits)
    return cause.exp().numpy(), none.numpy()


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[HazardTraining]:
    """The Lightning modules that fit_network trains, seen as they are handed to Lightning."""
    seen: list[HazardTraining] = []
    run = network_fit.run_lightning

    def run_lightning(training: HazardTraining, *rest: Any) -> None:
        seen.append(training)
        run(training, *rest)

    monkeypatch.setattr(network_fit, "run_lightning", run_lightning)
    return seen


def test_hazards_and_none_sum_to_one() -> None:
    cause, none = random_hazards(0, (5, 3), 4)
    np.testing.assert_allclose(cause.sum(axis=-2) + np.exp(none), 1.0, atol=1e-12)


@given(seed=st.integers(0, 1000), n_bins=st.integers(1, 6))
def test_interpolation_is_the_discrete_definition_at_edges(seed: int, n_bins: int) -> None:
    hazard, log_none = random_hazards(seed, (2,), n_bins)
    edges = np.concatenate([[0.0], np.cumsum(np.random.default_rng(seed).uniform(0.5, 90, n_bins))])
    free, expected = 1.0, [np.zeros(2)]
    for j in range(n_bins):
        expected.append(expected[-1] + free * hazard[:, j])
        free *= 1 - hazard[:, j].sum()
    np.testing.assert_allclose(interpolate(hazard, log_none, edges, edges), np.array(expected).T, atol=1e-12)


@given(seed=st.integers(0, 1000), day=st.floats(0, 99.9))
def test_interpolation_has_a_constant_hazard_within_a_bin(seed: int, day: float) -> None:
    hazard, log_none = random_hazards(seed, (2,), 2)
    edges = np.array([0.0, 40.0, 100.0])
    j = int(day >= 40)
    free = 1.0 if j == 0 else 1 - hazard[:, 0].sum()
    before = np.zeros(2) if j == 0 else hazard[:, 0]
    rate = -math.log(1 - hazard[:, j].sum()) / (edges[j + 1] - edges[j])
    lost = free * (1 - math.exp(-rate * (day - edges[j])))
    expected = before + lost * hazard[:, j] / hazard[:, j].sum()
    np.testing.assert_allclose(interpolate(hazard, log_none, edges, np.array([day]))[:, 0], expected, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("n_rows", [1, 7, 300])
def test_one_product_gives_what_the_module_gives(n_rows: int, shared: bool) -> None:
    sizes = NetworkSizes(n_members=3, n_features=5, n_causes=2, n_bins=6, n_hidden=4)
    module = PackedHazards(sizes, None)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    if shared:
        module.share_hidden(module)
    network = HazardNetwork(module, np.linspace(0, 600, 7))
    x = torch.as_tensor(np.random.default_rng(0).normal(size=(n_rows, 5)), dtype=torch.float32)
    torch.testing.assert_close(logits_of(network, x).float(), module(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e5])
@pytest.mark.parametrize(("n_rows", "times"), [(1, [90.0]), (70, [0.0, 100.0, 130.5, 600.0, 900.0]), (300, [20.0])])
def test_incidences_are_those_of_the_hazards_in_every_bin(n_rows: int, times: list[float], scale: float) -> None:
    """Also where exponentials would overflow; only the bins that the times reach are computed."""
    module = PackedHazards(NetworkSizes(n_members=3, n_features=5, n_causes=2, n_bins=6, n_hidden=4), None)
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)))
    network = HazardNetwork(module, np.linspace(0, 600, 7))
    x, at = np.random.default_rng(0).normal(size=(n_rows, 5)) * scale, np.array(times)
    cause, none = log_hazards(logits_of(network, torch.as_tensor(x, dtype=torch.float32)))
    expected = interpolate(cause.exp().numpy(), none.numpy(), network.edges_days, at)
    np.testing.assert_allclose(network.member_incidence(x, at), expected, rtol=0, atol=1e-12)


def test_what_is_alike_in_all_rows_is_multiplied_once_and_changes_nothing() -> None:
    """Also where many patients are more than are worked on at a time, and none are."""
    sizes = NetworkSizes(n_members=2, n_features=6, n_causes=2, n_bins=5, n_hidden=3)
    network = HazardNetwork(PackedHazards(sizes, torch.Generator().manual_seed(2)), np.linspace(0, 500, 6))
    x, at = np.random.default_rng(1).normal(size=(ROWS_AT_ONCE + 3, 6)), np.array([120.0, 480.0])
    x[:, 2:5] = x[0, 2:5]
    apart = np.concatenate([network.member_incidence(row[None], at) for row in x[-5:]], axis=1)
    np.testing.assert_allclose(network.member_incidence(x, at)[:, -5:], apart, rtol=0, atol=1e-6)
    assert network.member_incidence(x[:0], at).shape == (2, 0, 2, 2)


def logits_of(network: HazardNetwork, x: torch.Tensor) -> torch.Tensor:
    """(members, rows, causes, bins), in the precision of the prediction."""
    module, sizes = network.module, network.module.sizes
    level, trend = (
        one.double().view(len(x), sizes.n_causes, sizes.n_members).permute(2, 0, 1)[..., None]
        for one in PackedIncidence(module, network.edges_days).level_and_trend(x)
    )
    return module.base.double()[:, None] + level + trend * torch.linspace(-1, 1, sizes.n_bins, dtype=torch.float64)


def test_incidence_is_zero_before_and_constant_after_the_bins() -> None:
    hazard, log_none = random_hazards(1, (3, 2), 4)
    edges = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
    values = interpolate(hazard, log_none, edges, np.array([-5.0, 0.0, 40.0, 41.0, 1e9]))
    assert (values[..., :2] == 0).all()
    np.testing.assert_allclose(values[..., 3:], values[..., [2, 2]], atol=1e-12)


def slow_bins(outcomes: Outcomes, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    n_bins = len(edges) - 1
    at_risk, event = np.zeros((len(outcomes), n_bins)), np.zeros((len(outcomes), 2, n_bins))
    for i, (end, cause) in enumerate(zip(outcomes.duration_days, outcomes.cause, strict=True)):
        entry = 0.0 if outcomes.entry_days is None else outcomes.entry_days[i]
        for j in range(n_bins):
            start, stop = edges[j], edges[j + 1]
            happened = cause > 0 and start < end <= stop
            last = stop if happened else min(end, stop)
            at_risk[i, j] = max(0.0, last - max(start, min(entry, stop))) / (stop - start) if last > start else 0.0
            if happened:
                event[i, cause - 1, j] = 1.0
                at_risk[i, j] = 1.0  # also for who entered within that bin
    return at_risk, event


@st.composite
def binned_outcomes(draw: st.DrawFn) -> tuple[Outcomes, FloatArray]:
    """Durations on and off the edges, some beyond the last; some rows enter late."""
    edges = np.array([0.0, *sorted(draw(st.sets(st.integers(1, 30), min_size=1, max_size=5)))], dtype=float)
    n = draw(st.integers(1, 8))
    durations = draw(st.lists(st.integers(1, 80).map(lambda h: h / 2), min_size=n, max_size=n))
    causes = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    shares = draw(st.none() | st.lists(st.sampled_from([0.0, 0.3, 0.9]), min_size=n, max_size=n))
    entry = None if shares is None else np.array(shares) * durations
    return Outcomes(np.array(durations), np.array(causes), ("infection", "death"), entry), edges


@given(binned_outcomes())
def test_binning_equals_its_slow_definition(case: tuple[Outcomes, FloatArray]) -> None:
    outcomes, edges = case
    binned = to_bins(outcomes, edges)
    at_risk, event = slow_bins(outcomes, edges)
    np.testing.assert_allclose(binned.at_risk.numpy(), at_risk, atol=1e-6)
    np.testing.assert_array_equal(binned.event.numpy(), event)


def training_on(outcomes: Outcomes, edges: FloatArray, weights: FloatArray, seed: int = 0) -> HazardTraining:
    """A network whose every parameter is random, on three random features."""
    rng = np.random.default_rng(seed)
    module = PackedHazards(NetworkSizes(len(weights), 3, 2, len(edges) - 1, 4), None)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.as_tensor(rng.normal(0, 0.5, parameter.shape)))
    x = torch.as_tensor(rng.normal(size=(len(outcomes), 3)), dtype=torch.float32)
    return HazardTraining(
        module, x, to_bins(outcomes, edges), torch.as_tensor(weights, dtype=torch.float32), TINY, None
    )


@settings(max_examples=25, deadline=None)
@given(binned_outcomes(), st.integers(0, 100))
def test_training_loss_equals_the_slow_likelihood(case: tuple[Outcomes, FloatArray], seed: int) -> None:
    """−log Π_j P(what happened in bin j | event-free before), weighted by how often a member drew the patient."""
    outcomes, edges = case
    n = len(outcomes)
    weights = np.random.default_rng(seed).poisson(1.0, (2, n)).astype(float)
    training = training_on(outcomes, edges, weights, seed)
    cause, none = (a.detach().double().numpy() for a in log_hazards(training.module(training.x)))
    at_risk, event = slow_bins(outcomes, edges)
    expected = 0.0
    for member in range(2):
        for i in range(n):
            log_likelihood = 0.0
            for j in range(len(edges) - 1):
                happened = event[i, :, j].argmax() if event[i, :, j].any() else None
                stayed = at_risk[i, j] - (happened is not None)
                log_likelihood += stayed * none[member, i, j]
                log_likelihood += 0.0 if happened is None else cause[member, i, happened, j]
            expected -= weights[member, i] * log_likelihood / n
    assert float(training.training_step(RowBatch.whole(torch.arange(n)), 0).detach()) == pytest.approx(
        expected, rel=1e-4, abs=1e-5
    )


def test_every_parameter_gets_a_gradient() -> None:
    _, outcomes = exponential(0, 50)
    training = training_on(outcomes, bin_edges(outcomes, 4), np.ones((3, 50)))
    training.training_step(RowBatch.whole(torch.arange(50)), 0).backward()
    for name, parameter in training.module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).all(), name


def test_members_do_not_learn_from_each_other() -> None:
    _, outcomes = exponential(0, 50)
    weights = np.ones((3, 50))
    weights[1] = 0
    training = training_on(outcomes, bin_edges(outcomes, 4), weights)
    training.training_step(RowBatch.whole(torch.arange(50)), 0).backward()
    for name, parameter in training.module.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad[1] == 0).all(), f"{name}: a member without patients has nothing to learn from"


def test_bins_hold_about_equally_many_events() -> None:
    _, outcomes = exponential(3, 500)
    edges = bin_edges(outcomes, 8)
    times = outcomes.duration_days[outcomes.cause > 0]
    counts = np.histogram(times, np.nextafter(edges, np.inf))[0]
    assert edges[0] == 0
    assert edges[-1] == times.max()
    assert counts.min() >= len(times) // 8 - 1
    assert counts.max() <= len(times) // 8 + 2


def test_bins_of_tied_events_are_fewer() -> None:
    outcomes = Outcomes(np.array([7.0] * 50 + [9.0]), np.array([1] * 51), ("infection",))
    np.testing.assert_array_equal(bin_edges(outcomes, 24), [0.0, 7.0, 9.0])


def test_no_event_is_refused() -> None:
    outcomes = Outcomes(np.array([7.0, 9.0]), np.array([0, 0]), ("infection",))
    with pytest.raises(SequelaError, match="no event of any cause"):
        fit_network(np.zeros((2, 1)), outcomes, ids(2), TINY, CPU, seed=0)


def test_recovers_exponential_hazards() -> None:
    """On 800 patients, two of three features noise: mean absolute error below 0.05.

    Over five such studies it was 0.021 to 0.041; a Cox model, which is true here, errs by 0.015 to 0.031, and the same
    incidence for everyone by 0.16.
    """
    x, outcomes = exponential(1, 800)
    config = NetworkConfig(members=8, hidden=4, max_epochs=120, bins=12, learning_rate=0.02)
    network = fit_network(x, outcomes, ids(800), config, CPU, seed=0)
    new = np.random.default_rng(9).normal(size=(300, 3))
    at = np.array([90.0, 180.0, 365.0])
    rate = hazards(new)
    total = rate.sum(axis=1, keepdims=True)
    truth = (rate / total)[:, :, None] * -np.expm1(-total[:, :, None] * at)
    error = np.abs(network.incidence(new, np.zeros(300), at) - truth).mean(axis=(0, 2))
    null = np.abs(truth.mean(axis=0) - truth).mean(axis=(0, 2))
    assert error.max() < 0.05
    assert error[0] < null[0] / 3, "far closer than the same incidence for everyone"


def test_late_entry_is_accounted_for() -> None:
    """Who enters late is seen only if event-free until then; without that, the incidence is understated."""
    rng = np.random.default_rng(0)
    duration, entry = rng.exponential(100, 3000), rng.uniform(0, 150, 3000)
    seen = np.flatnonzero(duration > entry)
    outcomes = Outcomes(duration[seen], np.ones(len(seen), dtype=np.int64), ("infection",), entry[seen])
    naive = Outcomes(outcomes.duration_days, outcomes.cause, outcomes.causes)
    at, n = np.array([50.0, 100.0]), len(seen)
    config = NetworkConfig(members=4, hidden=2, max_epochs=30, bins=12)
    fitted, wrong = (
        fit_network(np.zeros((n, 1)), o, ids(n), config, CPU, seed=0).incidence(np.zeros((1, 1)), np.zeros(1), at)[0, 0]
        for o in (outcomes, naive)
    )
    truth = 1 - np.exp(-at / 100)
    np.testing.assert_allclose(fitted, truth, atol=0.04)
    assert (wrong < truth - 0.1).all()


def test_bags_draw_whole_patients(spied: list[HazardTraining]) -> None:
    x, outcomes = exponential(0, 60)
    patient = np.repeat(ids(20), 3)
    order = np.random.default_rng(0).permutation(60)
    fit_network(x, outcomes, patient[order], TINY, CPU, seed=0)
    weights = spied[0].weights.numpy()
    for name in np.unique(patient):
        drawn = weights[:, patient[order] == name]
        assert (drawn == drawn[:, :1]).all()
    assert len(np.unique(weights, axis=0)) == TINY.members
    assert 0.2 < (weights == 0).mean() < 0.55, "Poisson(1) leaves 37 % out of the bag"


def out_of_bag(training: HazardTraining, network: HazardNetwork) -> FloatArray:
    """(members, causes): mean loss of the rows that a member did not draw."""
    with torch.no_grad():
        cause, _ = log_hazards(network.module(training.x))
        none = torch.log1p(-cause.exp().clamp(max=1 - 1e-6))
        loss = -(training.event * cause + (training.at_risk[:, None] - training.event) * none).sum(dim=-1).numpy()
    out = training.weights.numpy() == 0
    return np.array([loss[m][out[m]].mean(axis=0) for m in range(len(out))])


def test_early_stopping_keeps_each_members_best_epoch(spied: list[HazardTraining]) -> None:
    """With one cause, so that what is kept is one epoch's network; trained far past its best.

    The first feature is folded, so that there is something to learn beyond the linear start.
    """
    x, outcomes = exponential(2, 80, n_causes=1)
    x[:, 0] = (x[:, 0] + 3) / 3 * np.random.default_rng(0).choice([-1, 1], 80)
    history: list[FloatArray] = []

    def listener(_epoch: int, _loss: float, _out_of_bag: float) -> None:
        training = spied[0]
        history.append(out_of_bag(training, HazardNetwork(_copy(training.module), np.zeros(1))))

    config = NetworkConfig(members=4, hidden=8, max_epochs=60, bins=6, learning_rate=0.05, patience=60)
    network = fit_network(x, outcomes, ids(80), config, CPU, seed=0, listener=listener)
    untrained = config.model_copy(update={"learning_rate": 1e-12, "max_epochs": 1})
    history.insert(0, out_of_bag(spied[0], fit_network(x, outcomes, ids(80), untrained, CPU, seed=0)))
    kept, best, last = out_of_bag(spied[0], network), np.min(history, axis=0), history[-1]
    np.testing.assert_allclose(kept, best, atol=1e-4)
    assert (last > kept + 0.01).all(), "without it the last epoch would have stayed"
    assert len({int(np.argmin(member)) for member in np.array(history)[:, :, 0].T}) > 1


def _copy(module: PackedHazards) -> PackedHazards:
    copy = PackedHazards(module.sizes, None)
    copy.load_state_dict(module.state_dict())
    return copy


@pytest.mark.parametrize(("patience", "stops"), [(1, True), (60, False)], ids=["impatient", "patient"])
def test_training_stops_when_no_member_gains(patience: int, stops: bool) -> None:
    x, outcomes = exponential(2, 80)
    epochs: list[int] = []
    config = TINY.model_copy(update={"max_epochs": 60, "learning_rate": 0.3, "patience": patience})
    fit_network(x, outcomes, ids(80), config, CPU, seed=0, listener=lambda epoch, *_: epochs.append(epoch))
    assert epochs == list(range(len(epochs)))
    assert (len(epochs) < 60) == stops


def test_listener_sees_the_losses_fall() -> None:
    x, outcomes = exponential(2, 300)
    losses: list[tuple[float, float]] = []
    fit_network(x, outcomes, ids(300), TINY, CPU, seed=0, listener=lambda _, a, b: losses.append((a, b)))
    assert losses[-1][0] < losses[0][0]
    assert np.isfinite(losses).all()


def test_fitting_is_quiet_and_leaves_global_generators_alone(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    x, outcomes = exponential(2, 40)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  (to see that it is not used)
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        fit_network(x, outcomes, ids(40), TINY, CPU, seed=0)
    assert [str(warning.message) for warning in caught] == []
    assert [r.getMessage() for r in caplog.records if r.name.startswith("lightning")] == []
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_prediction_is_the_mean_over_members() -> None:
    x, outcomes = exponential(2, 60)
    network = fit_network(x, outcomes, ids(60), TINY, CPU, seed=0)
    at = np.array([30.0, 200.0])
    members = network.member_incidence(x[:7], at)
    assert members.shape == (4, 7, 2, 2)
    assert members.std(axis=0).max() > 1e-3, "members differ"
    np.testing.assert_allclose(network.incidence(x[:7], np.zeros(7), at), members.mean(axis=0), atol=1e-12)


def break_name(arrays: dict[str, Any]) -> None:
    arrays["bass"] = arrays.pop("base")


def break_shape(arrays: dict[str, Any]) -> None:
    arrays["base"] = arrays["base"][:, :1]


@pytest.mark.parametrize(
    ("damage", "message"), [(break_name, "Missing key"), (break_shape, "size mismatch")], ids=["name", "shape"]
)
def test_parameters_that_do_not_fit_are_refused(damage: Callable[[dict[str, Any]], None], message: str) -> None:
    x, outcomes = exponential(2, 60)
    sizes, arrays = fit_network(x, outcomes, ids(60), TINY, CPU, seed=0).state()
    damage(arrays)
    with pytest.raises(RuntimeError, match=message):
        HazardNetwork.from_state(sizes, arrays)


def test_training_begins_at_the_ridge_cox_model_of_each_bag() -> None:
    x, outcomes = exponential(3, 400)
    still = TINY.model_copy(update={"members": 8, "bins": 40, "learning_rate": 1e-12, "max_epochs": 1})
    network = fit_network(x, outcomes, ids(400), still, CPU, seed=0)
    cox = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(400), seed=0)
    log_ratios = network.module.linear.mean(dim=0).numpy()[:, :3]
    assert (network.module.linear[:, :, 3:].abs() < 1e-6).all(), "along pieces of features, nothing is known yet"
    assert log_ratios == pytest.approx(cox.beta, abs=0.1)
    assert log_ratios[0, 0] == pytest.approx(0.8, abs=0.2)
    times = np.array([60.0, 200.0])
    landmark = np.zeros(len(x))
    assert np.abs(network.incidence(x, landmark, times) - cox.incidence(x, landmark, times)).mean() < 0.02


def test_what_happened_to_patients_out_of_its_bag_does_not_move_where_a_member_begins() -> None:
    x, outcomes = exponential(4, 60)
    drawn = np.ones((1, 60), dtype=np.int64)
    drawn[0, :20] = 0
    binned = to_bins(outcomes, bin_edges(outcomes, 6))
    module = PackedHazards(NetworkSizes(1, 3, 2, 6, 4), None)
    begin_linear(module, x, outcomes, binned, drawn, penalties=(10.0, 10.0))
    changed = Outcomes(outcomes.duration_days.copy(), outcomes.cause.copy(), outcomes.causes)
    changed.duration_days[:20] = 1.0
    other = PackedHazards(NetworkSizes(1, 3, 2, 6, 4), None)
    begin_linear(other, x, changed, binned, drawn, penalties=(10.0, 10.0))
    assert torch.equal(module.linear, other.linear)
    assert bool((module.linear != 0).all())
