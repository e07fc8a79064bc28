"""Mean numbers of events had everyone been in each arm: derivatives, confounding, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.effects_cohorts import HORIZON_DAYS, confounded_counts, true_counts
from features.recurrence import Recurrences
from training.effects.counted import MeanNumbers
from training.effects.propensity import propensities, stabilised_weights
from training.effects.recurrent import mean_influence
from training.models.mean_count import marginal_mean

N_COHORTS = 150


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(2, 30), deaths=st.booleans())
def test_the_weighted_influence_is_the_derivative(seed: int, n: int, deaths: bool) -> None:
    rng = np.random.default_rng(seed)
    end = np.ceil(rng.uniform(20, 300, n))
    row = np.repeat(np.arange(n), rng.poisson(0.01 * end))
    day = np.ceil(rng.uniform(0, 1, len(row)) * end[row])
    dead = (rng.random(n) < 0.5).astype(np.int64) * deaths
    recurrences = Recurrences(end, dead, row, day, "infection", ("death",))
    weights, at, step = rng.uniform(0.2, 3, n), np.array([0.0, 30.0, 120.0, 700.0]), 1e-5
    moved = [marginal_mean(recurrences, weights + sign * step * np.eye(n)).at(at) for sign in (1, -1)]
    found = np.concatenate(list(mean_influence(recurrences, at, weights)))
    np.testing.assert_allclose(found, (moved[0] - moved[1]) / (2 * step), rtol=1e-4, atol=1e-6)


def test_without_covariates_weighting_changes_nothing() -> None:
    cohort = confounded_counts(np.random.default_rng(1), 200)
    at = np.array([100.0, 365.0])
    plain = MeanNumbers.plain(cohort.recurrences, cohort.arm, 2, at)
    weighted = MeanNumbers.weighted(cohort.recurrences, cohort.arm, 2, np.zeros((200, 1)), at)
    for name in ("means", "differences", "ratios"):
        for ours, expected in zip(getattr(weighted, name), getattr(plain, name), strict=True):
            for one, other in zip(ours, expected, strict=True):
                assert one.point == pytest.approx(other.point, rel=1e-9)
                assert one.standard_error == pytest.approx(other.standard_error, rel=1e-6)
                assert one.low == pytest.approx(other.low, rel=1e-6)
    assert weighted.at(np.array([1])).means[0][0] == weighted.means[0][1]
    assert weighted.at(np.array([1])).method == "weighted"


def test_the_standard_error_is_that_of_estimated_weights() -> None:
    """What the propensity's score explains is gone, so that it is smaller than that of known weights."""
    cohort = confounded_counts(np.random.default_rng(2), 500)
    weights = stabilised_weights(propensities(cohort.x, cohort.arm), cohort.arm)
    found = MeanNumbers.weighted(cohort.recurrences, cohort.arm, 2, cohort.x, HORIZON_DAYS)
    for k in (0, 1):
        rows = np.flatnonzero(cohort.arm == k)
        part = np.concatenate(list(mean_influence(cohort.recurrences.take(rows), HORIZON_DAYS, weights[rows])))
        known = np.sqrt(((weights[rows, None] * part) ** 2).sum())
        assert found.means[k][0].standard_error < 0.99 * known


def test_confounding_is_taken_out_and_intervals_cover() -> None:
    """The whole study is benchmarks/effects_coverage.py; 3.5 Monte-Carlo standard errors."""
    true = true_counts()
    errors, covered = [], []
    for seed in range(N_COHORTS):
        cohort = confounded_counts(np.random.default_rng([seed, 500]), 500)
        plain = MeanNumbers.plain(cohort.recurrences, cohort.arm, 2, HORIZON_DAYS)
        one = MeanNumbers.weighted(cohort.recurrences, cohort.arm, 2, cohort.x, HORIZON_DAYS)
        ((less,),), ((over,),), ((naive,),) = one.differences, one.ratios, plain.differences
        errors.append((less.point - (true[1] - true[0]), naive.point - (true[1] - true[0])))
        covered.append((less.low <= true[1] - true[0] <= less.high, over.low <= true[1] / true[0] <= over.high))
    far = np.abs(np.mean(errors, axis=0)) / (np.std(errors, axis=0, ddof=1) / np.sqrt(N_COHORTS))
    assert far[0] < 3.5
    assert far[1] > 10
    assert (np.abs(np.mean(covered, axis=0) - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / N_COHORTS)).all()
