"""Comparisons of observational cohorts: unbiased under confounding, honest about overlap and what is not known."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.effects_cohorts import CAUSES, EFFECTS, HORIZON_DAYS, confounded, true_differences
from benchmarks.effects_coverage import estimates
from features.outcomes import Outcomes
from training.effects.adjusted import Standardised, doubly_robust, expected_out_of_fold, folds, possible, weighted
from training.effects.arms import Arms
from training.effects.e_value import e_value
from training.effects.estimates import Estimate, ratio
from training.effects.propensity import (
    LEAST,
    balance,
    overlap,
    own_probability,
    propensities,
    scores_of,
    stabilised_weights,
    standardised,
)
from training.effects.risks import RISK, by_arm, differences, ratios
from training.effects.time_lost import TIME_LOST, time_lost_influence
from training.evaluation.pseudo import influence
from training.models.nonparametric import aalen_johansen

N_COHORTS = 80


def test_confounding_is_taken_out_and_intervals_cover() -> None:
    """The whole study is benchmarks/effects_coverage.py; bounds here are 3.5 Monte-Carlo standard errors wide."""
    true = true_differences(EFFECTS["effect"])
    found: dict[tuple[str, str, str], list[tuple[float, bool]]] = {}
    for seed in range(N_COHORTS):
        rng = np.random.default_rng([seed, 500])
        for line in estimates(confounded(rng, 500, EFFECTS["effect"]), rng)[0]:
            one = line["estimate"]
            assert isinstance(one, Estimate)
            value = true[str(line["measure"])][CAUSES.index(str(line["cause"]))]
            key = (str(line["measure"]), str(line["cause"]), str(line["method"]))
            found.setdefault(key, []).append((one.point - value, one.low <= value <= one.high))
    for (measure, cause, method), values in found.items():
        error, covered = np.array([v[0] for v in values]), np.mean([v[1] for v in values])
        far = abs(error.mean()) / (error.std(ddof=1) / np.sqrt(N_COHORTS))
        if method != "as they are":
            assert far < 3.5, (measure, cause, method)
            assert abs(covered - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / N_COHORTS), (measure, cause, method)
        elif cause == "infection":
            assert far > 10
            assert covered < 0.7


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), late=st.booleans())
def test_the_weighted_influence_is_the_derivative(seed: int, late: bool) -> None:
    rng = np.random.default_rng(seed)
    n = 25
    duration, cause = np.ceil(rng.exponential(20, n)) + 1, rng.integers(0, 3, n)
    entry = np.floor(rng.uniform(0, 1, n) * duration) * (rng.random(n) < 0.3) if late else None
    outcomes = Outcomes(duration, cause, CAUSES, entry)
    weights, at = rng.uniform(0.2, 3, n), np.array([5.0, 20.0, 60.0])
    step = 1e-6
    moved = [weights + sign * step * np.eye(n) for sign in (1, -1)]
    numerical = (aalen_johansen(outcomes, moved[0]).at(at) - aalen_johansen(outcomes, moved[1]).at(at)) / (2 * step)
    np.testing.assert_allclose(influence(outcomes, at, weights), numerical, rtol=1e-4, atol=1e-7)
    grid = np.arange(0.0, 60.0, 0.5)
    integral = influence(outcomes, grid, weights).sum(axis=2) * 0.5  # durations are whole days: the steps lie on it
    np.testing.assert_allclose(time_lost_influence(outcomes, np.array([60.0]), weights)[:, :, 0], integral, atol=1e-9)


def test_without_covariates_weighting_changes_nothing_and_regression_hardly() -> None:
    cohort = confounded(np.random.default_rng(1), 300, EFFECTS["effect"])
    nothing = np.zeros((300, 1))
    plain = by_arm(cohort.arms, RISK, HORIZON_DAYS)
    for found in (
        weighted(cohort.arms, nothing, RISK, HORIZON_DAYS),
        doubly_robust(cohort.arms, nothing, RISK, HORIZON_DAYS, rng=np.random.default_rng(0)),
    ):
        for ours, expected in ((found.differences(), differences(plain)), (found.ratios(), ratios(plain))):
            for cause in range(2):
                one, other = ours[0][cause][0], expected[0][cause][0]
                assert one.point == pytest.approx(other.point, abs=2e-3)
                assert one.standard_error == pytest.approx(other.standard_error, rel=0.02)
    exact = weighted(cohort.arms, nothing, RISK, HORIZON_DAYS).tables(RISK)
    assert exact[0][0][0].point == pytest.approx(plain[0][0][0].point, rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_order_of_patients_and_the_scale_of_covariates_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cohort = confounded(rng, 150, EFFECTS["effect"])
    order = rng.permutation(150)
    turned = Arms(cohort.arms.outcomes.take(order), cohort.arms.arm[order], cohort.arms.names)
    x = standardised(1000 * cohort.x[order] - 7)
    for measure in (RISK, TIME_LOST):
        first = weighted(cohort.arms, cohort.x, measure, HORIZON_DAYS).differences()[0]
        second = weighted(turned, x, measure, HORIZON_DAYS).differences()[0]
        for (one,), (other,) in zip(first, second, strict=True):
            assert one.point == pytest.approx(other.point, rel=1e-5)
            assert one.standard_error == pytest.approx(other.standard_error, rel=1e-5)


def half_right(rng: np.random.Generator, n: int, right: str) -> tuple[Arms, np.ndarray]:
    """Everyone followed to day 100, events on day 10; of propensity and outcome only one is as the models have it.

    The outcome is 0.1 likelier in arm 1, whoever the patient.
    """
    x = rng.uniform(-np.sqrt(3), np.sqrt(3), n)
    linear = right == "outcome"
    chance = 0.1 + 0.8 * (x > 0.9) if linear else 1 / (1 + np.exp(-1 - 1.2 * x))
    arm = (rng.random(n) < chance).astype(np.int64)
    base = 0.35 + 0.15 * x if linear else 0.1 + 0.22 * x**2
    happens = rng.random(n) < base + 0.1 * arm
    outcomes = Outcomes(np.where(happens, 10.0, 100.0), happens.astype(np.int64), ("infection",))
    return Arms(outcomes, arm, ("0", "1")), standardised(x[:, None])


@pytest.mark.parametrize("right", ["outcome", "propensity"])
def test_the_doubly_robust_estimate_needs_one_of_its_models(right: str) -> None:
    """Where the other model is wrong, the estimate that rests on it alone is not right; 3.5 Monte-Carlo errors."""
    errors = []
    at = np.array([50.0])
    for seed in range(80):
        rng = np.random.default_rng([seed, len(right)])
        arms, x = half_right(rng, 800, right)
        robust = doubly_robust(arms, x, RISK, at, rng=rng).differences()[0][0][0].point
        if right == "outcome":
            alone = weighted(arms, x, RISK, at).differences()[0][0][0].point
        else:
            happens = (arms.outcomes.cause == 1).astype(float)[:, None]
            fold = folds(arms.arm, rng)
            expected = [expected_out_of_fold(x, arms.rows(k), happens[arms.rows(k)], fold).mean() for k in (0, 1)]
            alone = float(expected[1] - expected[0])
        errors.append((robust - 0.1, alone - 0.1))
    far = np.abs(np.mean(errors, axis=0)) / (np.std(errors, axis=0, ddof=1) / np.sqrt(len(errors)))
    assert far[0] < 3.5
    assert far[1] > 5


def test_an_impossible_mean_is_no_estimate() -> None:
    points = np.array([[-0.01, 0.5], [1.01, 1.0 + 1e-15]])
    np.testing.assert_array_equal(possible(points, RISK, np.array([10.0, 20.0])), [[nan, 0.5], [nan, 1.0]])
    np.testing.assert_array_equal(possible(points * 20, TIME_LOST, np.array([10.0, 20.0])), [[nan, 10.0], [nan, 20.0]])
    found = Standardised(np.array([[[nan]], [[0.4]]]), np.full((2, 30, 1, 1), 0.01))
    assert np.isnan([found.differences()[0][0][0].point, found.ratios()[0][0][0].point]).all()


def test_an_adjusted_arm_without_event_is_not_free_of_error() -> None:
    influence = np.stack([np.zeros((30, 1, 1)), np.full((30, 1, 1), 0.01)])
    found = Standardised(np.array([[[0.0]], [[0.4]]]), influence).differences()[0][0][0]
    assert found.point == 0.4
    assert np.isnan([found.low, found.high, found.p]).all()


def test_the_same_seed_gives_the_same_estimate() -> None:
    cohort = confounded(np.random.default_rng(2), 200, EFFECTS["effect"])
    found = [
        doubly_robust(cohort.arms, cohort.x, RISK, HORIZON_DAYS, rng=np.random.default_rng(seed)).points
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_weights_balance_the_arms() -> None:
    cohort = confounded(np.random.default_rng(3), 2000, EFFECTS["no effect"])
    arm, x = cohort.arms.arm, cohort.x
    probability = propensities(x, arm)
    weights = stabilised_weights(probability, arm)
    found = balance(x, ("x0", "x1"), arm, ("0", "1"), weights)
    assert [one.name for one in found] == ["x0", "x1"]
    assert all(one.before > 0.25 for one in found)
    assert all(abs(one.after) < 0.05 for one in found)
    assert weights.mean() == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(scores_of(x, probability, arm).sum(axis=0), 0.0, atol=0.05)
    for one in overlap(probability, arm, ("0", "1"), weights):
        assert 0.5 * one.n_rows < one.effective < one.n_rows
        assert 0 < one.lowest < one.highest < 1


def test_arms_that_covariates_tell_apart_are_seen_as_such() -> None:
    rng = np.random.default_rng(4)
    x = standardised(rng.normal(size=(200, 1)))
    arm = (x[:, 0] > 0).astype(np.int64)
    probability = propensities(x, arm)
    found = overlap(probability, arm, ("0", "1"), stabilised_weights(probability, arm))
    assert all(one.lowest < LEAST and one.highest > 1 - LEAST and one.hardly > 0.4 for one in found)
    assert own_probability(1 - probability, arm).min() == LEAST
    assert (stabilised_weights(1 - probability, arm) <= 1 / LEAST).all()


def test_nobody_is_expected_anything_from_their_own_outcome() -> None:
    rng = np.random.default_rng(7)
    x, rows, fold = rng.normal(size=(60, 2)), np.arange(0, 60, 2), np.arange(60) % 5
    pseudo = rng.normal(size=(30, 1))
    before = expected_out_of_fold(x, rows, pseudo, fold)
    after = expected_out_of_fold(x, rows, np.where(fold[rows, None] == 0, 9.0, pseudo), fold)
    np.testing.assert_array_equal(before[fold == 0], after[fold == 0])
    assert (np.abs(before - after)[fold != 0] > 1e-3).all()


def test_three_arms() -> None:
    rng = np.random.default_rng(5)
    cohort = confounded(rng, 600, EFFECTS["no effect"])
    arms = replace(cohort.arms, arm=cohort.arms.arm + (rng.random(600) < 0.3), names=("a", "b", "c"))
    found: Standardised = weighted(arms, cohort.x, RISK, HORIZON_DAYS)
    assert len(found.differences()) == len(found.ratios()) == 2
    assert found.influence.shape == (3, 600, 2, 1)
    np.testing.assert_allclose(found.influence.sum(axis=1), 0.0, atol=1e-6)


def test_the_influence_on_weighted_risks_is_that_of_estimated_weights() -> None:
    """What the propensity's score explains is gone: standard errors are smaller than those of known weights."""
    cohort = confounded(np.random.default_rng(6), 500, EFFECTS["effect"])
    arm, x = cohort.arms.arm, cohort.x
    probability = propensities(x, arm)
    found = weighted(cohort.arms, x, RISK, HORIZON_DAYS)
    explained = np.einsum("ip,aikh->pakh", scores_of(x, probability, arm), found.influence)
    np.testing.assert_allclose(explained, 0.0, atol=1e-9)
    rows = cohort.arms.rows(1)
    weights = stabilised_weights(probability, arm)[rows]
    known = weights[:, None, None] * influence(cohort.arms.of(1), HORIZON_DAYS, weights)
    assert found.tables(RISK)[1][0][0].standard_error < 0.99 * np.sqrt((known**2).sum(axis=0))[0, 0]


@pytest.mark.parametrize(
    ("found", "point", "limit"),
    [
        (Estimate(3.9, 1.8, 8.7, 0.0, 0.4), 7.26, 3.0),  # VanderWeele & Ding 2017: 7.26, and 3.0 for 1.8
        (Estimate(0.8, 0.71, 0.91, 0.0, 0.06), 1.81, 1.43),  # and 1.81, 1.43
        (Estimate(1.2, 0.9, 1.6, 0.2, 0.15), 1.69, 1.0),
        (ratio(0.0, 0.1), 1.0, 1.0),
    ],
)
def test_e_values_are_those_published(found: Estimate, point: float, limit: float) -> None:
    value = e_value(found)
    assert value.point == pytest.approx(point, abs=0.006)
    assert value.limit == pytest.approx(limit, abs=0.006)


def test_no_ratio_has_no_e_value() -> None:
    assert np.isnan(e_value(Estimate(nan, nan, nan, nan, nan)).point)
