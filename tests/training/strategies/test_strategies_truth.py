"""Emulated trials of simulated patients whose truth is known; the whole study is benchmarks/strategies_coverage.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.strategies_coverage import HORIZON, emulated, ever_never
from benchmarks.strategies_world import EFFECTS, World, truth, world
from training.effects.estimates import Estimate
from training.strategies.emulation import Trial, emulate
from training.strategies.followed import FloatArray
from training.strategies.incidence import incidence_at

N_COHORTS = 20
N_TRUTH = 30_000


@pytest.fixture(scope="module", params=EFFECTS)
def known(request: pytest.FixtureRequest) -> tuple[World, FloatArray]:
    """Many patients, and each strategy's incidence less that of never starting: (strategies, causes)."""
    effect = EFFECTS[request.param]
    true = incidence_at(truth(effect, N_TRUTH, N_TRUTH), HORIZON)[..., 0]
    return world(12_000, np.random.default_rng(4), effect), true[1:] - true[:1]


def test_a_large_cohort_gives_the_truth(known: tuple[World, FloatArray]) -> None:
    one, true = known
    trial = Trial.of(one.followed, one.strategies, one.baseline, one.changing, 100.0)
    risks = incidence_at(emulate(trial).incidence, HORIZON)[..., 0]
    # Standard errors of a cohort of 500 are at most 0.065; of 12,000 a fifth of it.
    np.testing.assert_allclose(risks[1:] - risks[:1], true, atol=3.5 * 0.065 / np.sqrt(24))


def test_without_the_value_that_decides_treatment_seems_worse_than_it_is(known: tuple[World, FloatArray]) -> None:
    """Clones alone take out immortal time, not confounding: who is ill is treated."""
    one, true = known
    trial = Trial.of(one.followed, one.strategies, one.baseline, one.changing[:, :, :0], 100.0)
    risks = incidence_at(emulate(trial).incidence, HORIZON)[..., 0]
    assert (risks[1:, 0] - risks[0, 0] > true[:, 0] + 0.02).all()


def test_losses_that_go_with_the_value_are_weighted_for() -> None:
    """Who is ill leaves: without weights for it, those who stay seem to fare better than they would have."""
    true = incidence_at(truth(EFFECTS["effect"], N_TRUTH, N_TRUTH), HORIZON)[..., 0]
    one = world(12_000, np.random.default_rng(6), EFFECTS["effect"], ill_leave=True)
    trial = Trial.of(one.followed, one.strategies, one.baseline, one.changing, 100.0)
    weighted, plain = (
        incidence_at(emulate(of).incidence, HORIZON)[..., 0] for of in (trial, replace(trial, losses=None))
    )
    np.testing.assert_allclose(weighted, true, atol=3.5 * 0.05 / np.sqrt(24))
    assert plain[0, 0] < true[0, 0] - 0.02


def test_ever_against_never_is_wrong_by_immortal_time(known: tuple[World, FloatArray]) -> None:
    one, true = known
    lines = [line for line in ever_never(one) if line["measure"] == "risk"]
    for cause, line in enumerate(lines):
        estimate = line["estimate"]
        assert isinstance(estimate, Estimate)
        assert estimate.high < true[0, cause]


def test_intervals_cover() -> None:
    """Bounds are 3.5 Monte-Carlo standard errors wide."""
    effect = EFFECTS["effect"]
    true = incidence_at(truth(effect, N_TRUTH, N_TRUTH), HORIZON)[..., 0]
    covered, found, errors = [], [], []
    for seed in range(N_COHORTS):
        rng = np.random.default_rng([seed, 77])
        lines = [line for line in emulated(world(400, rng, effect), 99.9, 25, rng) if line["measure"] == "risk"]
        estimates = [line["estimate"] for line in lines if isinstance(line["estimate"], Estimate)]
        values = (true[1:] - true[:1]).ravel()
        covered.append([e.low <= v <= e.high for e, v in zip(estimates, values, strict=True)])
        found.append([e.point for e in estimates])
        errors.append([e.standard_error for e in estimates])
    share = np.mean(covered, axis=0)
    assert (share > 0.95 - 3.5 * np.sqrt(0.95 * 0.05 / N_COHORTS)).all()
    spread = np.std(found, axis=0, ddof=1)
    assert (
        np.abs(np.mean(found, axis=0) - (true[1:] - true[:1]).ravel()) < (3.5 / np.sqrt(N_COHORTS) + 0.15) * spread
    ).all()
    assert (np.abs(np.mean(errors, axis=0) / spread - 1) < 3.5 / np.sqrt(2 * N_COHORTS) + 0.05).all()
