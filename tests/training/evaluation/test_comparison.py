"""Paired differences: by hand, narrower than their parts, at their nominal level; Holm; the corrected t-test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from training.evaluation.comparison import (
    Difference,
    bootstrap_p,
    holm,
    paired_difference,
    resampled_difference,
)
from training.evaluation.scores import evaluate

Draw = Callable[..., Any]


def test_every_difference_is_that_of_the_scores(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 80)
    other = np.sqrt(incidence[::-1]) / 2
    patients = np.arange(80)
    found = paired_difference(
        incidence,
        other,
        times,
        outcomes,
        patients,
        rng=np.random.default_rng(0),
        horizons_days=times[1:3],
        n_bootstrap=50,
    )
    one, two = (evaluate(x, times, outcomes, times[1:3], patients, n_bootstrap=0).causes for x in (incidence, other))
    for k in range(2):
        for name in ("ibs", "ipa", "c"):
            difference = getattr(found, name)[k]
            assert difference.point == pytest.approx(getattr(one[k], name).point - getattr(two[k], name).point), name
            assert difference.low < difference.point < difference.high
        for j in range(2):
            for name, score in (("brier", "brier"), ("ipa_at", "ipa"), ("auc", "auc")):
                expected = getattr(one[k].horizons[j], score).point - getattr(two[k].horizons[j], score).point
                assert getattr(found, name)[k][j].point == pytest.approx(expected), name


def test_difference_of_the_same_is_exactly_0(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 80)
    rng = np.random.default_rng(0)
    found = paired_difference(incidence, incidence, times, outcomes, np.arange(80), rng=rng, n_bootstrap=20)
    nothing = Difference(0.0, 0.0, 0.0, 1.0)
    assert (*found.ibs, *found.ipa, *found.c, *found.auc[0]) == (nothing,) * 7


def test_without_resamples_there_are_points_only(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 80)
    rng = np.random.default_rng(0)
    found = paired_difference(incidence, incidence / 2, times, outcomes, np.arange(80), rng=rng, n_bootstrap=0).ibs[0]
    assert np.isfinite(found.point)
    assert np.isnan([found.low, found.high, found.p]).all()


def test_difference_is_narrower_than_the_scores(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 300)
    rng = np.random.default_rng(0)
    found = paired_difference(incidence, 0.9 * incidence, times, outcomes, np.arange(300), rng=rng, n_bootstrap=200)
    alone = evaluate(incidence, times, outcomes, [20.0], np.arange(300), n_bootstrap=200)
    widths = [interval.high - interval.low for interval in (found.ibs[0], alone.causes[0].ibs)]
    assert widths[0] < 0.5 * widths[1]


def test_p_is_below_the_level_where_the_interval_excludes_0(draw: Draw) -> None:
    outcomes, times, incidence = draw(2, 300)
    rng = np.random.default_rng(0)
    found = paired_difference(incidence, 0.5 * incidence, times, outcomes, np.arange(300), rng=rng, n_bootstrap=400)
    ibs = found.ibs[0]
    assert ibs.high < 0
    assert ibs.p < 0.05


def test_rate_of_false_findings(draw: Draw) -> None:
    # Two predictions that are equally good: the truth with errors of the same size in patients chosen by a coin.
    false = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        outcomes, times, truth = draw(seed, 150)
        coin = rng.random((150, 1, 1)) < 0.5
        first, second = np.where(coin, 0.6 * truth, truth), np.where(coin, truth, 0.6 * truth)
        found = paired_difference(first, second, times, outcomes, np.arange(150), rng=rng, n_bootstrap=99)
        false += found.ibs[0].p <= 0.05
    # 5 % of 150 is 7.5; the 0.001 and 0.999 quantiles of the binomial are 1 and 17.
    assert 1 <= false <= 17


@pytest.mark.parametrize(
    ("draws", "expected"),
    [
        pytest.param(np.arange(1.0, 100.0), 0.02, id="all on one side"),
        pytest.param(np.append(np.arange(-1.0, 98.0), np.nan), 2 * 3 / 100, id="0 is on both sides, NaN on none"),
        pytest.param(np.zeros(9), 1.0, id="no difference"),
        pytest.param(np.array([np.nan]), np.nan, id="nothing known"),
    ],
)
def test_bootstrap_p_by_hand(draws: Any, expected: float) -> None:
    assert bootstrap_p(draws) == pytest.approx(expected, nan_ok=True)


def test_holm_by_hand() -> None:
    found = holm([0.04, 0.01, np.nan, 0.03, 0.5])
    np.testing.assert_allclose(found, [0.09, 0.04, np.nan, 0.09, 0.5])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1.0, 1.0])


def test_corrected_t_test_is_wider_than_the_plain_one() -> None:
    differences = np.random.default_rng(0).normal(0.1, 0.3, 25)
    found = resampled_difference(differences, 0.2)
    plain = ttest_1samp(differences, 0.0).confidence_interval(0.95)
    # Five times five folds: 1/25 + 1/4 for 1/25.
    assert found.point == pytest.approx(differences.mean())
    assert (found.high - found.low) / (plain.high - plain.low) == pytest.approx(np.sqrt(1 + 25 / 4))
    tiny = resampled_difference(differences, 1e-12)
    assert (tiny.low, tiny.high, tiny.p) == pytest.approx((plain.low, plain.high, ttest_1samp(differences, 0.0).pvalue))


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.1, 0.0)], ids=["none", "always the same"])
def test_corrected_t_test_of_equal_differences(value: float, p: float) -> None:
    assert resampled_difference(np.full(4, value), 0.2) == Difference(value, value, value, p)


@pytest.mark.parametrize(("parts", "share"), [(1, 0.2), (5, 0.0), (5, 1.0)], ids=["one part", "no test", "no training"])
def test_corrected_t_test_refuses(parts: int, share: float) -> None:
    with pytest.raises(ValueError, match="two parts or more"):
        resampled_difference(np.ones(parts), share)
