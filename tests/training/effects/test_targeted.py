"""Targeted estimates: against pytmle, within their bounds, right under censoring that depends on covariates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.effects_cohorts import (
    CAUSES,
    DEPENDENT,
    EFFECTS,
    HORIZON_DAYS,
    KINDS,
    Confounded,
    confounded,
    true_differences,
)
from features.outcomes import Outcomes
from training.effects.adjusted import Standardised, folds, weighted
from training.effects.arms import Arms
from training.effects.nuisances import MOST_TIMES, Nuisances
from training.effects.propensity import LEAST, propensities, standardised
from training.effects.risks import RISK, Measure, by_arm, differences
from training.effects.targeted import aimed, averaged, curves_of, nuisances_of, targeted
from training.effects.targeting import CLOSE, aim
from training.effects.time_lost import TIME_LOST

GOLDEN = json.loads((Path(__file__).resolve().parents[2] / "golden" / "targeted.json").read_text(encoding="utf-8"))


def by_models_of_everyone(arms: Arms, x: np.ndarray, measure: Measure, at: np.ndarray) -> Standardised:
    """Without cross-fitting."""
    probability, nobody = propensities(x, arms.arm), np.zeros(len(arms), dtype=np.int64)
    own = [Nuisances.of(arms, k, x, probability[:, k], nobody, float(at[-1])) for k in range(len(arms.names))]
    return targeted(own, measure, at)


def risks(cohort: Confounded, at: np.ndarray = HORIZON_DAYS, seed: int = 0) -> Standardised:
    """Cross-fitted."""
    return targeted(nuisances_of(cohort.arms, cohort.x, at, rng=np.random.default_rng(seed)), RISK, at)


def test_estimates_equal_pytmle_to_second_order() -> None:
    """Points within 0.002, 4 % of their standard errors, and these within 0.1 %; see tests/golden/targeted.py."""
    outcomes = Outcomes(np.array(GOLDEN["duration_days"]), np.array(GOLDEN["cause"]), CAUSES)
    arms = Arms(outcomes, np.array(GOLDEN["arm"]), ("0", "1"))
    found = by_models_of_everyone(arms, np.array(GOLDEN["x"]), RISK, np.array(GOLDEN["horizons_days"]))
    np.testing.assert_allclose(found.points, GOLDEN["risk"], atol=0.002)
    errors = np.sqrt((found.influence**2).sum(axis=1))
    np.testing.assert_allclose(errors, GOLDEN["standard_error"], rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(40, 120),
    days=st.sampled_from([3.0, 30.0, 400.0]),
    n_causes=st.integers(1, 3),
)
def test_risks_are_risks_whatever_the_cohort(seed: int, n: int, days: float, n_causes: int) -> None:
    rng = np.random.default_rng(seed)
    x = standardised(np.column_stack([rng.normal(size=n), rng.integers(2, size=n)]))
    arm = np.concatenate([np.repeat([0, 1], 10), (rng.random(n - 20) < 1 / (1 + np.exp(-x[20:, 0]))).astype(int)])
    duration = np.ceil(rng.exponential(days * np.exp(-0.7 * x[:, 0]))) + rng.integers(2) * rng.random(n)
    causes = tuple(f"cause {k}" for k in range(n_causes))
    arms = Arms(Outcomes(duration, rng.integers(0, n_causes + 1, n), causes), arm, ("0", "1"))
    at = np.quantile(duration, [0.2, 0.5, 0.8])
    nuisances = nuisances_of(arms, x, at, rng=rng)
    for one in nuisances:
        assert (one.hazard >= 0).all()
        assert (one.hazard.sum(axis=0) <= 1).all()
        assert (one.seen >= LEAST).all()
        assert (one.seen <= 1).all()
        aimed = aim(one, RISK.gain(one.times_days, at))
        assert (aimed.hazard >= 0).all()
        assert (aimed.hazard.sum(axis=0) <= 1 + 1e-12).all()
        known = np.isfinite(aimed.points)
        assert (aimed.points[known] >= 0).all()
        if known.all():
            assert (aimed.points.sum(axis=0) <= 1 + 1e-12).all()
            assert (np.diff(aimed.points, axis=1) >= -1e-12).all()
        error = np.sqrt((aimed.influence**2).sum(axis=0))
        assert (np.abs(aimed.influence.sum(axis=0)) <= CLOSE * error + 1e-12)[known].all()
        lost = aim(one, TIME_LOST.gain(one.times_days, at)).points
        assert ((lost >= 0) & (lost <= at) | np.isnan(lost)).all()


def test_targeting_is_hardly_ever_given_up() -> None:
    """In arms of a hundred patients and more; otherwise there is no estimate."""
    for seed in range(20):
        cohort = confounded(np.random.default_rng(seed), 250, KINDS[DEPENDENT][0], dependent=True)
        assert np.isfinite(risks(cohort, np.array([90.0, 180.0, 365.0])).points).all()


def test_without_covariates_estimates_are_those_of_aalen_and_johansen() -> None:
    cohort = confounded(np.random.default_rng(1), 300, EFFECTS["effect"])
    at = np.array([100.0, 365.0])
    for measure, unit in ((RISK, 1.0), (TIME_LOST, 365.0)):
        plain = by_arm(cohort.arms, measure, at)
        found = by_models_of_everyone(cohort.arms, np.zeros((300, 1)), measure, at).tables(measure)
        for ours, expected in zip(found, plain, strict=True):
            for one, other in zip(ours[0] + ours[1], expected[0] + expected[1], strict=True):
                assert one.point == pytest.approx(other.point, abs=1e-4 * unit)
                assert one.standard_error == pytest.approx(other.standard_error, rel=0.005)


def test_very_many_days_are_put_together_without_harm() -> None:
    rng = np.random.default_rng(2)
    cohort = confounded(rng, 3000, EFFECTS["effect"])
    nobody, half = np.zeros(3000, dtype=np.int64), np.full(3000, 0.5)
    nothing = np.zeros((3000, 1))
    one = Nuisances.of(cohort.arms, 0, nothing, half, nobody, 365.0)
    events = cohort.arms.of(0).duration_days[(cohort.arms.of(0).cause > 0) & (cohort.arms.of(0).duration_days <= 365)]
    assert len(np.unique(events)) > MOST_TIMES + 50
    assert MOST_TIMES - 50 < len(one.times_days) <= MOST_TIMES + 1
    assert one.happened.sum() == len(events)
    assert one.times_days[-1] == 365.0
    for measure, unit in ((RISK, 1.0), (TIME_LOST, 365.0)):
        plain = by_arm(cohort.arms, measure, HORIZON_DAYS)[0]
        found = aim(one, measure.gain(one.times_days, HORIZON_DAYS)).points
        np.testing.assert_allclose(found, [[row[0].point] for row in plain], atol=1e-3 * unit)


def test_censoring_that_depends_on_covariates_is_taken_out() -> None:
    """Where those at high risk leave one arm early, weights for the arm alone are off; 3.5 Monte-Carlo errors."""
    effect, _ = KINDS[DEPENDENT]
    true = true_differences(effect)["risk"][0]
    errors, covered = [], []
    for seed in range(100):
        cohort = confounded(np.random.default_rng([seed, 500]), 500, effect, dependent=True)
        (((one,), _),) = risks(cohort).differences()
        (((alone,), _),) = weighted(cohort.arms, cohort.x, RISK, HORIZON_DAYS).differences()
        errors.append((one.point - true, alone.point - true))
        covered.append(one.low <= true <= one.high)
    far = np.abs(np.mean(errors, axis=0)) / (np.std(errors, axis=0, ddof=1) / 10)
    assert far[0] < 3.5
    assert far[1] > 3.5
    assert np.mean(covered) > 0.95 - 3.5 * np.sqrt(0.95 * 0.05 / 100)


def half_right(rng: np.random.Generator, n: int, right: str) -> Confounded:
    """No effect of the arm; of the models of arm and hazard only one is as the truth has it."""
    x = rng.uniform(-np.sqrt(3), np.sqrt(3), n)
    chance = 0.15 + 0.7 * (x > 0.9) if right == "hazard" else 1 / (1 + np.exp(-0.9 * x))
    arm = (rng.random(n) < chance).astype(np.int64)
    daily = 0.003 * np.exp(0.8 * x if right == "hazard" else 1.5 * (x**2 - 1) + x)
    happens = rng.exponential(1 / daily)
    outcomes = Outcomes(np.minimum(happens, 400.0), (happens < 400).astype(np.int64), ("infection",))
    return Confounded(Arms(outcomes, arm, ("0", "1")), standardised(x[:, None]))


@pytest.mark.parametrize("right", ["hazard", "arm"])
def test_one_of_the_models_has_to_be_right(right: str) -> None:
    """3.5 Monte-Carlo errors; what rests on the other model alone, hazards untargeted or weights, is off."""
    errors = []
    for seed in range(50):
        cohort = half_right(np.random.default_rng([seed, len(right)]), 600, right)
        nuisances = nuisances_of(cohort.arms, cohort.x, HORIZON_DAYS, rng=np.random.default_rng(seed))
        if right == "hazard":
            alone = weighted(cohort.arms, cohort.x, RISK, HORIZON_DAYS).differences()[0][0][0].point
        else:
            untargeted = [1 - np.prod(1 - one.hazard[0], axis=1).mean() for one in nuisances]
            alone = float(untargeted[1] - untargeted[0])
        errors.append((targeted(nuisances, RISK, HORIZON_DAYS).differences()[0][0][0].point, alone))
    far = np.abs(np.mean(errors, axis=0)) / (np.std(errors, axis=0, ddof=1) / np.sqrt(50))
    assert far[0] < 3.5
    assert far[1] > 5


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_order_of_patients_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cohort = confounded(rng, 150, EFFECTS["effect"])
    arms, order, fold = cohort.arms, rng.permutation(150), folds(cohort.arms.arm, rng)
    turned = Arms(arms.outcomes.take(order), arms.arm[order], arms.names)
    chance = propensities(cohort.x, arms.arm)[:, 1]
    one = Nuisances.of(arms, 1, cohort.x, chance, fold, 365.0)
    other = Nuisances.of(turned, 1, cohort.x[order], chance[order], fold[order], 365.0)
    np.testing.assert_allclose(one.hazard[:, order], other.hazard, rtol=1e-6, atol=1e-12)
    gain = RISK.gain(one.times_days, HORIZON_DAYS)
    first, second = aim(one, gain), aim(other, gain)
    np.testing.assert_allclose(first.points, second.points, rtol=1e-6)
    np.testing.assert_allclose(first.influence[order], second.influence, rtol=1e-4, atol=1e-9)


def test_no_model_sees_the_outcome_of_whom_it_is_asked_about() -> None:
    cohort = confounded(np.random.default_rng(4), 200, EFFECTS["effect"])
    arms, fold = cohort.arms, np.arange(200) % 5
    own = arms.outcomes
    swapped = np.where((fold == 0) & (own.cause > 0), 3 - own.cause, own.cause)
    changed = Arms(Outcomes(own.duration_days, swapped, own.causes), arms.arm, arms.names)
    half = np.full(200, 0.5)
    before, after = (Nuisances.of(one, 1, cohort.x, half, fold, 365.0) for one in (arms, changed))
    np.testing.assert_array_equal(before.hazard[:, fold == 0], after.hazard[:, fold == 0])
    assert np.abs(before.hazard[:, fold != 0] - after.hazard[:, fold != 0]).max() > 1e-4


def test_an_event_on_the_day_of_a_censoring_comes_first() -> None:
    """Four patients a day, one of whom has the event and one of whom leaves: who has had the event cannot leave."""
    duration = np.repeat(np.arange(1.0, 26.0), 4)
    cause = np.tile([1, 0, 1, 1], 25)
    arms = Arms(Outcomes(duration, cause, ("infection",)), np.tile([0, 1], 50), ("0", "1"))
    own = arms.of(0)
    everyone = np.zeros(100, dtype=np.int64)
    found = Nuisances.of(arms, 1, np.zeros((100, 1)), np.ones(100), everyone, 25.0)
    n_left = np.arange(25.0, 0.0, -1.0)  # of arm 1 one has the event and one leaves each day
    expected = np.concatenate([[1.0], np.exp(-np.cumsum(1 / (2 * n_left - 1)))[:-1]])
    np.testing.assert_allclose(found.seen[0], np.maximum(expected, LEAST), rtol=1e-9)
    assert (own.cause == 1).all()


def test_who_can_hardly_be_seen_is_counted() -> None:
    cohort = confounded(np.random.default_rng(3), 200, EFFECTS["effect"])
    chance, nobody = np.where(np.arange(200) < 30, LEAST / 2, 0.5), np.zeros(200, dtype=np.int64)
    found = Nuisances.of(cohort.arms, 1, cohort.x, chance, nobody, 365.0)
    assert found.hardly_seen == pytest.approx(0.15)
    assert (found.seen[:30] == LEAST).all()


def test_three_arms_and_one_seed() -> None:
    rng = np.random.default_rng(5)
    cohort = confounded(rng, 400, EFFECTS["no effect"])
    arm = cohort.arms.arm + (rng.random(400) < 0.3)
    three = Confounded(Arms(cohort.arms.outcomes, arm, ("a", "b", "c")), cohort.x)
    found = [risks(three, seed=seed) for seed in (1, 1, 2)]
    assert len(found[0].differences()) == 2
    np.testing.assert_array_equal(found[0].points, found[1].points)
    assert not np.array_equal(found[0].points, found[2].points)


def test_an_arm_without_an_event_of_a_cause_has_no_interval() -> None:
    cohort = confounded(np.random.default_rng(6), 200, EFFECTS["effect"])
    own = cohort.arms.outcomes
    cause = np.where((cohort.arms.arm == 1) & (own.cause == 2), 0, own.cause)
    arms = Arms(Outcomes(own.duration_days, cause, own.causes), cohort.arms.arm, cohort.arms.names)
    found = risks(Confounded(arms, cohort.x))
    assert found.points[1, 1, 0] == 0
    ((_, (death,)),) = found.differences()
    assert death.point < 0
    assert np.isnan([death.low, death.high]).all()
    ((_, (plain,)),) = differences(by_arm(arms, RISK, HORIZON_DAYS))
    assert np.isnan(plain.low)


def test_curves_go_through_the_targeted_risks() -> None:
    cohort = confounded(np.random.default_rng(7), 300, EFFECTS["effect"])
    at, times = np.array([120.0, 365.0]), np.array([0.0, 60.0, 120.0, 200.0, 365.0])
    nuisances = nuisances_of(cohort.arms, cohort.x, at, rng=np.random.default_rng(0))
    aims = aimed(nuisances, RISK, at)
    curves = curves_of(nuisances, aims, times)
    np.testing.assert_allclose(curves[..., [2, 4]], averaged(aims).points, rtol=1e-9)
    assert (curves[..., 0] == 0).all()
    assert (np.diff(curves, axis=-1) > 0).all()


@pytest.mark.parametrize("most_steps", [0, 1, 3, 50])
def test_where_targeting_is_given_up_there_are_no_curves_and_hazards_are_those_evaluated(most_steps: int) -> None:
    cohort = confounded(np.random.default_rng(7), 150, EFFECTS["effect"])
    at = np.array([120.0, 365.0])
    nuisances = nuisances_of(cohort.arms, cohort.x, at, rng=np.random.default_rng(0))
    gains = [RISK.gain(one.times_days, at) for one in nuisances]
    aims = [aim(one, gain, most_steps) for one, gain in zip(nuisances, gains, strict=True)]
    curves = curves_of(nuisances, aims, at)
    points = averaged(aims).points
    if most_steps == 0:
        for one, own in zip(nuisances, aims, strict=True):
            np.testing.assert_array_equal(own.hazard, one.hazard)
    assert np.isnan(points).any() == (most_steps < 50)
    reached = np.isfinite(points).all(axis=-1)
    assert np.isnan(curves[~reached]).all()
    np.testing.assert_allclose(curves[reached], points[reached], rtol=1e-9)
    for one, own, gain in zip(nuisances, aims, gains, strict=True):
        again = aim(replace(one, hazard=own.hazard), gain, 0)
        np.testing.assert_allclose(own.influence, again.influence, rtol=1e-9, atol=1e-15)
