"""Effects patient by patient: the line, its standard errors, and a test that finds nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.effects_cohorts import EFFECTS, HORIZON_DAYS, confounded, true_line
from training.effects.adjusted import Standardised
from training.effects.individual import FEWEST, individual_effects, ordered, told_apart
from training.effects.risks import RISK
from training.effects.targeted import nuisances_of, targeted


def of_values(value: np.ndarray) -> Standardised:
    """Estimates whose values of the effect are given; arm 0 has its own noise."""
    noise = np.random.default_rng(0).normal(size=len(value))
    both = np.stack([noise, noise + value])
    points = both.mean(axis=1)
    influence = (both - points[:, None]) / len(value)
    return Standardised(points[:, None, None], influence[..., None, None])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(25, 60), n_columns=st.integers(1, 4))
def test_standard_errors_are_those_of_leaving_each_patient_out(seed: int, n: int, n_columns: int) -> None:
    """HC3 is the sum of squares of the change of the coefficients when one patient is left out."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n_columns)) + 3.0
    value = rng.normal(size=n) * np.exp(x[:, 0] - 3)
    (found,) = individual_effects(of_values(value), x, 0, 0)
    design = np.column_stack([np.ones(n), (x - x.mean(axis=0)) / x.std(axis=0)])
    beta = np.linalg.lstsq(design, value, rcond=None)[0]
    change = [np.linalg.lstsq(np.delete(design, i, 0), np.delete(value, i), rcond=None)[0] - beta for i in range(n)]
    covariance = np.array(change).T @ np.array(change)
    ours = [found.mean, *found.slopes]
    np.testing.assert_allclose([one.point for one in ours], beta, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose([one.standard_error for one in ours], np.sqrt(covariance.diagonal()), rtol=1e-6)
    np.testing.assert_allclose(found.standard_error**2, np.diag(design @ covariance @ design.T), rtol=1e-6)
    np.testing.assert_allclose(found.expected, design @ beta, rtol=1e-7, atol=1e-9)
    wald = beta[1:] @ np.linalg.solve(covariance[1:, 1:], beta[1:])
    assert found.test.statistic == pytest.approx(wald, rel=1e-5)
    assert found.test.degrees == n_columns
    assert found.mean.point == pytest.approx(value.mean())


def test_columns_that_say_the_same_are_tested_once() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 1))
    value = x[:, 0] + rng.normal(size=80)
    (one,), (twice,) = (individual_effects(of_values(value), c, 0, 0) for c in (x, np.column_stack([x, x, 0 * x])))
    assert twice.test.degrees == one.test.degrees == 1
    assert twice.test.statistic == pytest.approx(one.test.statistic, rel=1e-6)
    assert one.test.p < 1e-4
    np.testing.assert_allclose(twice.expected, one.expected, atol=1e-9)


def levels_of(sizes: tuple[int, ...]) -> np.ndarray:
    """One column of 0 and 1 a level."""
    return np.eye(len(sizes))[np.repeat(np.arange(len(sizes)), sizes)]


@pytest.mark.parametrize(
    ("sizes", "n_first", "left_out"),
    [((119, 1), 1, (0,)), ((118, 2), 1, (0,)), ((70, 48, 2), 0, (1, 2)), ((70, 41, FEWEST - 1), 0, (1, 2))],
)
def test_levels_of_few_patients_do_not_make_an_effect_differ(
    sizes: tuple[int, ...], n_first: int, left_out: tuple[int, ...]
) -> None:
    """With no effect at all the test rejects in 5 %, whatever the levels; 3.5 binomial standard errors."""
    x = np.column_stack([levels_of(sizes)[:, n_first:], np.random.default_rng(4).normal(size=120)])
    rejected = []
    for seed in range(300):
        (found,) = individual_effects(
            of_values(np.random.default_rng([seed, sizes[-1]]).standard_t(5, size=120)), x, 0, 0
        )
        rejected.append(found.test.p < 0.05)
        assert found.left_out == left_out
        assert found.test.degrees == x.shape[1] - len(left_out)
    assert np.mean(rejected) < 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize(
    ("x", "kept"),
    [
        (levels_of((60, 50, 10)), [True, True, True]),
        (levels_of((60, 51, 9)), [True, False, False]),  # the second with the third is all but the first
        (levels_of((9, 60, 51)), [False, True, False]),
        (levels_of((50, 40, 27, 3)), [True, True, False, False]),
        (levels_of((111, 9))[:, 1:], [False]),
        (levels_of((110, 10))[:, 1:], [True]),
        (np.repeat(levels_of((60, 60))[:, :1], 2, axis=1) - np.eye(120)[:, [0, 1]] @ np.diag([0, 1]), [True, False]),
        (np.linspace(0, 1, 120)[:, None] ** 9, [True]),
        (np.ones((120, 1)), [False]),
    ],
)
def test_columns_of_few_patients_are_left_out(x: np.ndarray, kept: list[bool]) -> None:
    assert told_apart(x).tolist() == kept
    (found,) = individual_effects(of_values(np.random.default_rng(5).normal(size=120)), x, 0, 0)
    assert found.left_out == tuple(np.flatnonzero(~np.array(kept)))
    assert [np.isfinite(one.low) for one in found.slopes] == kept
    assert np.isfinite([found.mean.low, found.mean.p]).all()
    assert np.isfinite(found.expected).all() == any(kept)
    assert np.isfinite(found.test.p) == any(kept)


def test_with_a_patient_who_decides_the_line_alone_there_is_none() -> None:
    x = np.random.default_rng(7).normal(size=(80, 1))
    x[0] = 1e4
    (found,) = individual_effects(of_values(np.random.default_rng(8).normal(size=80)), x, 0, 0)
    assert np.isnan([found.test.p, found.slopes[0].low, *found.expected]).all()
    assert found.left_out == ()
    assert found.mean.low < found.mean.point < found.mean.high


def test_where_the_effect_is_not_known_nothing_is_said_of_patients() -> None:
    x = np.random.default_rng(2).normal(size=(30, 2))
    unknown = Standardised(np.array([[[np.nan]], [[0.4]]]), np.full((2, 30, 1, 1), 0.01))
    no_event = Standardised(np.array([[[0.0]], [[0.4]]]), np.stack([np.zeros((30, 1, 1)), np.ones((30, 1, 1))]))
    for everyone in (unknown, no_event):
        (found,) = individual_effects(everyone, x, 0, 0)
        assert np.isnan([found.mean.point, found.test.p, *found.expected, *found.low]).all()
        assert len(found.slopes) == 2


def test_sorted_effects_are_means_of_enough_patients() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(52, 2))
    (found,) = individual_effects(of_values(x[:, 0] + rng.normal(size=52)), x, 0, 0)
    point, low, high = ordered(found)
    np.testing.assert_array_equal(point, np.sort(found.expected))
    assert ((low < point) & (point < high)).all()
    assert len(ordered(found, 5)[0]) == 10
    assert ordered(found, 5)[0][0] == pytest.approx(np.sort(found.expected)[:6].mean())


def test_the_interval_of_a_mean_of_patients_is_its_own() -> None:
    """By the covariance of the line's coefficients: narrower than the mean of the patients' intervals."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(60, 2))
    (found,) = individual_effects(of_values(rng.normal(size=60)), x, 0, 0)
    (everyone,) = (np.ravel(one) for one in np.array(ordered(found, 60)).T)
    assert everyone == pytest.approx([found.mean.point, found.mean.low, found.mean.high], abs=1e-9)
    point, low, high = ordered(found, 10)
    parts = np.array_split(np.argsort(found.expected, kind="stable"), 6)
    for part, p, a, b in zip(parts, point, low, high, strict=True):
        weight = found.design[part].mean(axis=0)
        error = np.sqrt(weight @ found.covariance @ weight)
        assert (a, b) == pytest.approx((p - 1.959964 * error, p + 1.959964 * error), rel=1e-6)
        assert b - a < (found.high - found.low)[part].mean()


def test_a_homogeneous_effect_is_seldom_found_to_differ_and_lines_cover() -> None:
    """The whole study is benchmarks/effects_coverage.py; 3.5 binomial standard errors of 80 cohorts."""
    n_cohorts, far = 80, 3.5 * np.sqrt(0.95 * 0.05 / 80)
    for truth, others in (("no effect", 0.05 + far), ("effect", 1.0)):
        line = true_line(EFFECTS[truth])
        rejected, covered = [], []
        for seed in range(n_cohorts):
            rng = np.random.default_rng([seed, 300])
            cohort = confounded(rng, 300, EFFECTS[truth])
            nuisances = nuisances_of(cohort.arms, cohort.x, HORIZON_DAYS, rng=rng)
            (one,) = individual_effects(targeted(nuisances, RISK, HORIZON_DAYS), cohort.x, 0, 0)
            rejected.append(one.test.p < 0.05)
            covered.append([e.low <= v <= e.high for e, v in zip((one.mean, *one.slopes), line, strict=True)])
        assert np.mean(rejected) < others
        assert (np.mean(covered, axis=0) > 0.95 - far).all()


def test_an_effect_that_differs_is_found() -> None:
    """In a thousand patients of whom only those with one value of a covariate gain."""
    rng = np.random.default_rng(9)
    x = rng.integers(2, size=(1000, 1)) * 2.0 - 1.0
    value = -0.15 - 0.15 * x[:, 0] + rng.normal(size=1000)
    (found,) = individual_effects(of_values(value), x, 0, 0)
    assert found.test.p < 0.001
    assert found.slopes[0].low <= -0.15 <= found.slopes[0].high
