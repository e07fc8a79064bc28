"""Events known to lie between two days: their likelihood, what they teach, and where they are carried."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.interval_censoring import BETWEEN, N_TEST, true_incidence, visited
from features.outcomes import Outcomes
from training.config import DeepHitConfig, MixtureConfig, NetworkConfig, TrainerConfig, kinds_by_day_seen
from training.fitting.binning import bin_edges, to_bins
from training.fitting.deephit import fit_deephit, likelihood_loss, places
from training.fitting.event_intervals import LEAST_HAZARD, log_within, log_within_by_cause
from training.fitting.joint import Task, fit_together
from training.fitting.network import HazardTraining, fit_network
from training.fitting.proper_score import score_targets
from training.loops.batches import RowBatch
from training.loops.lightning_run import identified
from training.models.bins import interpolate, log_hazards
from training.models.network import NetworkSizes, PackedHazards
from training.splits import known_by

CPU = TrainerConfig(accelerator="cpu")
TINY = NetworkConfig(members=4, hidden=4, max_epochs=20, bins=6, batch_rows=64)
CAUSES = ("infection", "death")
FloatArray = NDArray[np.float64]


@st.composite
def half_known(draw: st.DrawFn) -> tuple[Outcomes, FloatArray]:
    """Rows some of whose events lie between two days, on and off the edges, some beyond the last; some enter late."""
    edges = np.array([0.0, *sorted(draw(st.sets(st.integers(1, 30), min_size=1, max_size=5)))], dtype=float)
    n = draw(st.integers(1, 8))
    half_days = st.lists(st.integers(1, 80).map(lambda h: h / 2), min_size=n, max_size=n)
    shares = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.9]), min_size=n, max_size=n)
    duration, cause = np.array(draw(half_days)), np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    after = duration * np.array(draw(shares))
    after[(cause == 0) | np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))] = np.nan
    late = draw(st.none() | shares)
    entry = None if late is None else np.where(np.isnan(after), duration, after) * np.array(late)
    return Outcomes(duration, cause, CAUSES, entry, after), edges


def random_hazards(seed: int, n: int, n_bins: int, level: float = -2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log hazards (2 members, rows, causes, bins) and log P(none) (2, rows, bins), in double precision."""
    logits = np.random.default_rng(seed).normal(level, 1, (2, n, 2, n_bins))
    return log_hazards(torch.as_tensor(logits))


def training_on(outcomes: Outcomes, edges: FloatArray, seed: int = 0) -> HazardTraining:
    """A network of two members whose every parameter is random, on three random features."""
    rng = np.random.default_rng(seed)
    module = PackedHazards(NetworkSizes(2, 3, 2, len(edges) - 1, 4), None)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.as_tensor(rng.normal(0, 0.5, parameter.shape)))
    x = torch.as_tensor(rng.normal(size=(len(outcomes), 3)), dtype=torch.float32)
    return HazardTraining(module, x, to_bins(outcomes, edges), torch.ones(2, len(outcomes)), TINY, None)


@settings(max_examples=60, deadline=None)
@given(case=half_known(), seed=st.integers(0, 1000), level=st.sampled_from([-2.0, -12.0, 3.0]))
def test_the_likelihood_of_an_interval_is_what_incidence_gains_in_it(
    case: tuple[Outcomes, FloatArray], seed: int, level: float
) -> None:
    """[F_k(R) − F_k(L)] / S(entry), by the incidences that the network predicts; also of rare and certain events."""
    outcomes, edges = case
    binned = to_bins(outcomes, edges)
    cause, none = random_hazards(seed, len(outcomes), len(edges) - 1, level)
    if binned.intervals is None:
        told = np.zeros(len(outcomes), dtype=bool)
        within = torch.zeros(none.shape[:2], dtype=none.dtype)
    else:
        told, within = binned.intervals.cause.numpy() > 0, log_within(cause, none, binned.intervals)
    found = within + (binned.at_risk.double() * none).sum(dim=-1)
    assert (told == (outcomes.in_interval & (outcomes.duration_days <= edges[-1]))).all()
    assert (within.numpy()[:, ~told] == 0).all()
    after = outcomes.after_days
    assert after is not None
    for i in np.flatnonzero(told):
        entry = 0.0 if outcomes.entry_days is None else outcomes.entry_days[i]
        days = np.array([entry, after[i], outcomes.duration_days[i]])
        incidence = interpolate(cause[:, i].exp().numpy(), none[:, i].numpy(), edges, days)
        k = outcomes.cause[i] - 1
        gained = (incidence[:, k, 2] - incidence[:, k, 1]) / (1 - incidence[:, :, 0].sum(axis=1))
        np.testing.assert_allclose(found[:, i].exp().numpy(), gained, rtol=1e-3, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), own=st.integers(0, 3), cause=st.integers(1, 2), late=st.booleans())
def test_an_interval_of_one_bin_is_the_event_in_that_bin(seed: int, own: int, cause: int, late: bool) -> None:
    """In the likelihood, in each cause's share of it, and in what base hazards begin with."""
    edges = np.array([0.0, 7.0, 30.0, 61.5, 90.0])
    entry = np.array([edges[own] / 2]) if late else None
    exact = Outcomes(edges[own + 1 : own + 2], np.array([cause]), CAUSES, entry)
    interval = replace(exact, after_days=edges[own : own + 1])
    by_day, between = (training_on(outcomes, edges, seed) for outcomes in (exact, interval))
    row = torch.zeros(1, dtype=torch.long)
    steps = [float(one.training_step(RowBatch.whole(row), 0).detach()) for one in (by_day, between)]
    assert steps[1] == pytest.approx(steps[0], rel=1e-5)
    torch.testing.assert_close(between.losses(row), by_day.losses(row), rtol=1e-4, atol=1e-5)
    expected, given_day = to_bins(interval, edges).expected(), to_bins(exact, edges)
    torch.testing.assert_close(expected.event, given_day.event)
    torch.testing.assert_close(expected.at_risk, given_day.at_risk)


@settings(max_examples=40, deadline=None)
@given(case=half_known(), seed=st.integers(0, 1000))
def test_causes_are_scored_by_their_own_hazards_and_together_nearly_by_the_likelihood(
    case: tuple[Outcomes, FloatArray], seed: int
) -> None:
    outcomes, edges = case
    intervals = to_bins(outcomes, edges).intervals
    if intervals is None:
        return
    cause, _ = random_hazards(seed, len(outcomes), len(edges) - 1)
    stays = torch.log1p(-cause.exp()).float()
    found = log_within_by_cause(stays, intervals)
    other = stays.clone()
    other[:, :, 1] -= 1.0
    changed = log_within_by_cause(other, intervals)
    torch.testing.assert_close(changed[:, :, 0], found[:, :, 0], rtol=0, atol=0)
    rare, none = random_hazards(seed, len(outcomes), len(edges) - 1, level=-7.0)
    shares = log_within_by_cause(torch.log1p(-rare.exp()).float(), intervals).sum(dim=-1)
    np.testing.assert_allclose(shares, log_within(rare, none, intervals), atol=0.06)


def test_gradients_are_finite_also_where_nothing_happens_and_nothing_else_could() -> None:
    edges = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
    cause = np.array([1, 2, 1])
    outcomes = Outcomes(np.array([25.0, 40.0, 11.0]), cause, CAUSES, None, np.array([5.0, 0.0, 10.5]))
    intervals = to_bins(outcomes, edges).intervals
    assert intervals is not None
    for level in (-40.0, 0.0, 40.0):
        logits = torch.full((1, 3, 2, 4), level, requires_grad=True)
        loss = log_within(*log_hazards(logits), intervals).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
    assert torch.finfo(torch.float32).eps < LEAST_HAZARD


def test_every_parameter_gets_a_gradient() -> None:
    cohort = visited(np.random.default_rng(0), 60)
    training = training_on(cohort.between, bin_edges(cohort.between, 4))
    training.training_step(RowBatch.whole(torch.arange(60)), 0).backward()
    for name, parameter in training.module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).all(), name


def test_bins_are_cut_between_the_visits_too() -> None:
    """All events seen on one of two days: bins of the days alone would be two."""
    outcomes = Outcomes(np.repeat([90.0, 180.0], 20), np.ones(40, dtype=np.int64), ("infection",))
    between = replace(outcomes, after_days=outcomes.duration_days - 90)
    np.testing.assert_array_equal(bin_edges(outcomes, 8), [0.0, 90.0, 180.0])
    edges = bin_edges(between, 8)
    np.testing.assert_allclose(np.diff(edges), 180 / 8, atol=90 / 8)
    assert edges[-1] == 180.0


def test_where_events_are_likely_is_learnt_from_those_known_better() -> None:
    """Half of them on day 10, the others at some time by day 100: these are likely to have been early, too."""
    edges = np.array([0.0, 10.0, 50.0, 100.0])
    after = np.repeat([np.nan, 0.0], 50)
    outcomes = Outcomes(np.repeat([10.0, 100.0], 50), np.ones(100, dtype=np.int64), ("infection",), None, after)
    intervals = to_bins(outcomes, edges).intervals
    assert intervals is not None
    np.testing.assert_allclose(intervals.likely[50:].sum(dim=1), 1.0, atol=1e-6)
    assert (intervals.likely[:50] == 0).all()
    assert (intervals.likely[50:, 0] > 0.5).all(), "even days would say 0.1"


def test_the_proper_score_says_nothing_of_days_within_an_interval() -> None:
    edges = np.array([0.0, 40.0, 100.0, 180.0, 240.0])
    exact = Outcomes(np.array([180.0, 240.0]), np.array([1, 0]), CAUSES)
    between = replace(exact, after_days=np.array([40.0, np.nan]))
    known, same = score_targets(between, edges), score_targets(exact, edges)
    assert known.weight[0].tolist() == [float(same.weight[0, 0]), 0.0, *same.weight[0, 2:].tolist()]
    assert torch.equal(known.weight[1], same.weight[1])
    assert torch.equal(known.happened, same.happened)


def test_deephit_takes_the_mass_in_between() -> None:
    edges = np.array([0.0, 10.0, 30.0, 60.0])
    exact = Outcomes(np.array([20.0, 60.0, 30.0]), np.array([1, 2, 2]), CAUSES, np.array([0.0, 5.0, 10.0]))
    between = replace(exact, after_days=np.array([5.0, np.nan, 10.0]))
    log_pmf = torch.as_tensor(np.random.default_rng(0).normal(size=(3, 7))).log_softmax(dim=1)
    pmf = log_pmf.exp().numpy()
    found = likelihood_loss(log_pmf, places(between, edges), 2)
    assert float(found[0]) == pytest.approx(-math.log(pmf[0, 0] / 2 + pmf[0, 1] / 2), rel=1e-5)
    free = 1 - pmf[2, 0] - pmf[2, 3]
    assert float(found[2]) == pytest.approx(-math.log(pmf[2, 4] / free), rel=1e-5)
    assert float(found[1]) == float(likelihood_loss(log_pmf, places(exact, edges), 2)[1])


def test_a_network_that_knows_intervals_is_nearer_to_the_truth_than_one_taught_the_day_of_the_visit() -> None:
    """Between visits, on simulated patients: less than half as far (in 6 cohorts 0.10 to 0.30 times as far)."""
    rng = np.random.default_rng(0)
    cohort, new = visited(rng, 400), rng.normal(size=(N_TEST, 3))
    ids = np.array([f"p{i}" for i in range(400)], dtype=object)
    config = NetworkConfig(members=8, hidden=4, bins=16)
    truth = true_incidence(new, BETWEEN)[:, 0]
    wrong = {}
    for name, outcomes in {"between": cohort.between, "seen": cohort.seen}.items():
        found = fit_network(cohort.x, outcomes, ids, config, CPU, seed=0).incidence(new, np.zeros(N_TEST), BETWEEN)
        wrong[name] = float(np.sqrt(((found[:, 0] - truth) ** 2).mean()))
    assert wrong["between"] < 0.08
    assert wrong["between"] < wrong["seen"] / 2


def test_deephit_and_networks_fitted_together_learn_from_intervals() -> None:
    """Without features: at most half as far from the mean incidence between visits as when taught the visits' days."""
    cohort = visited(np.random.default_rng(1), 400)
    x, ids = np.zeros((400, 1)), np.array([f"p{i}" for i in range(400)], dtype=object)
    truth = true_incidence(cohort.x, BETWEEN)[:, 0].mean(axis=0)

    def together(outcomes: Outcomes) -> FloatArray:
        any_event = replace(outcomes, cause=np.minimum(outcomes.cause, 1), causes=("any",))
        tasks = [Task(x, outcomes, ids), Task(x, any_event, ids)]
        network = fit_together(tasks, TINY.model_copy(update={"bins": 12, "max_epochs": 5}), CPU, seed=0)[0]
        return network.incidence(x[:1], np.zeros(1), BETWEEN)[0, 0]

    def deephit(outcomes: Outcomes) -> FloatArray:
        config = DeepHitConfig(bins=12, max_epochs=60, ranking=0.0)
        return fit_deephit(x, outcomes, ids, config, CPU, seed=0).incidence(x[:1], np.zeros(1), BETWEEN)[0, 0]

    for fit in (together, deephit):
        far, far_by_day = (np.abs(fit(outcomes) - truth).max() for outcomes in (cohort.between, cohort.seen))
        assert far < 0.12
        assert far < far_by_day / 2


@settings(deadline=None)
@given(case=half_known(), days=st.floats(0, 50))
def test_what_was_known_by_a_day_keeps_intervals_seen_by_then(case: tuple[Outcomes, FloatArray], days: float) -> None:
    outcomes = case[0]
    rows, known = known_by(outcomes, np.full(len(outcomes), days))
    assert known.after_days is not None
    assert outcomes.after_days is not None
    seen = outcomes.duration_days[rows] <= days
    np.testing.assert_array_equal(known.after_days, np.where(seen, outcomes.after_days[rows], np.nan))
    assert (known.cause[known.in_interval] > 0).all()


def test_a_checkpoint_is_not_that_of_other_intervals(tmp_path: Path) -> None:
    cohort = visited(np.random.default_rng(0), 20)
    ids = np.arange(20).astype(str).astype(object)
    earlier = replace(cohort.between, after_days=cohort.between.after_days * 0.5)
    found = [
        identified(tmp_path / "fit", CPU, TINY, cohort.x, outcomes, ids, 0)
        for outcomes in (cohort.seen, cohort.between, earlier, cohort.between)
    ]
    keys = [one.identity for one in found if one is not None]
    assert len(keys) == 4
    assert len(set(keys)) == 3
    assert keys[1] == keys[3]


def test_models_that_take_the_day_seen_are_named() -> None:
    mixture = MixtureConfig.model_validate({"members": [{"kind": "cox"}, {"kind": "network"}, {"kind": "forest"}]})
    assert kinds_by_day_seen(mixture) == ["cox", "forest"]
    assert kinds_by_day_seen(NetworkConfig()) == kinds_by_day_seen(DeepHitConfig()) == []
