"""Paired scores over repeats, and intervals that hold all at once, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from features.outcomes import Outcomes
from training.evaluation.comparison import difference_of, simultaneous_intervals
from training.evaluation.paired import repeated_accuracy, repeated_net_benefit, sample_and_resamples

NOBODY_CENSORED = Outcomes(np.array([10.0, 20.0, 50.0, 60.0]), np.array([1, 1, 1, 1]), ("event",))
"""By day 30 the first two have had the event."""
TIMES = np.array([15.0, 30.0])


def predicted(*risks: float) -> np.ndarray:
    """(1, rows, causes, times): nothing by day 15, these risks by day 30."""
    by_30 = np.array(risks)
    return np.stack([np.zeros_like(by_30), by_30], axis=-1)[None, :, None, :]


def test_brier_score_is_that_worked_out_by_hand_in_the_sample_and_in_a_resample() -> None:
    first = repeated_accuracy(predicted(0.9, 0.6, 0.2, 0.1), TIMES, NOBODY_CENSORED, [30.0], np.ones((1, 4)))
    # (0.1² + 0.4² + 0.2² + 0.1²) / 4
    assert first["brier_at"][0, 0, 0] == pytest.approx(0.055)
    drawn = np.array([[1.0, 1, 1, 1], [0, 3, 1, 0]])
    again = repeated_accuracy(predicted(0.9, 0.6, 0.2, 0.1), TIMES, NOBODY_CENSORED, [30.0], drawn)
    assert again["brier_at"][1, 0, 0] == pytest.approx((3 * 0.16 + 0.04) / 4)
    assert first["auc_at"][0, 0, 0] == 1.0


def test_scores_are_averaged_over_repeats_within_each_draw_not_predictions() -> None:
    repeats = np.concatenate([predicted(0.9, 0.6, 0.2, 0.1), predicted(0.1, 0.4, 0.8, 0.9)])
    found = repeated_accuracy(repeats, TIMES, NOBODY_CENSORED, [30.0], np.ones((1, 4)))
    # the mean prediction, 0.5 for everyone, would score 0.25
    assert found["brier_at"][0, 0, 0] == pytest.approx((0.055 + (0.81 + 0.36 + 0.64 + 0.81) / 4) / 2)
    assert found["auc_at"][0, 0, 0] == pytest.approx(0.5)


def test_net_benefit_is_that_worked_out_by_hand() -> None:
    risk = np.array([[0.9, 0.6, 0.2, 0.1], [0.9, 0.1, 0.6, 0.1]])
    found = repeated_net_benefit(risk, NOBODY_CENSORED, 30.0, (0.5,), np.ones((1, 4)))
    # first repeat: two true positives of four; second: one true and one false positive, and odds of 1
    assert found[0, 0] == pytest.approx((2 / 4 + (1 / 4 - 1 / 4)) / 2)


def test_equal_predictions_differ_by_exactly_0_with_p_1() -> None:
    draws = sample_and_resamples(np.arange(4), 200, np.random.default_rng(0))
    one, other = (
        repeated_accuracy(predicted(0.9, 0.6, 0.2, 0.1), TIMES, NOBODY_CENSORED, [30.0], draws) for _ in range(2)
    )
    difference = (one["brier_at"] - other["brier_at"])[:, 0, 0]
    found = difference_of(float(difference[0]), difference[1:])
    assert (found.point, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_resamples_draw_all_rows_of_a_patient_together() -> None:
    draws = sample_and_resamples(["a", "b", "a"], 50, np.random.default_rng(0))
    assert draws.shape == (51, 3)
    np.testing.assert_array_equal(draws[0], 1.0)
    np.testing.assert_array_equal(draws[:, 0], draws[:, 2])
    np.testing.assert_array_equal(draws[1:, 0] + draws[1:, 1], 2.0)


def test_simultaneous_intervals_of_one_comparison_are_ordinary_ones() -> None:
    draws = np.random.default_rng(0).normal(0.3, 2.0, (20_000, 1))
    low, high = simultaneous_intervals(np.array([0.3]), draws)[0]
    assert (low, high) == (pytest.approx(0.3 - 1.96 * 2, abs=0.1), pytest.approx(0.3 + 1.96 * 2, abs=0.1))


def test_simultaneous_intervals_hold_all_at_once_and_know_what_comparisons_share() -> None:
    rng = np.random.default_rng(0)
    independent, shared = rng.normal(size=(20_000, 10)), np.tile(rng.normal(size=(20_000, 1)), 10)
    wide, narrow = (simultaneous_intervals(np.zeros(10), draws) for draws in (independent, shared))
    inside = ((independent > wide[:, 0]) & (independent < wide[:, 1])).all(axis=1).mean()
    assert inside == pytest.approx(0.95, abs=0.005)
    # Šidák: the 1 − (1 − 0.95 ** 0.1) / 2 quantile of the normal distribution
    assert wide[0, 1] == pytest.approx(2.80, abs=0.06)
    assert narrow[0, 1] == pytest.approx(1.96, abs=0.05)


def test_simultaneous_intervals_without_variation_or_without_values() -> None:
    draws = np.column_stack([np.zeros(100), np.full(100, np.nan), np.random.default_rng(0).normal(size=100)])
    found = simultaneous_intervals(np.array([0.0, np.nan, 0.0]), draws)
    np.testing.assert_array_equal(found[0], 0.0)
    assert np.isnan(found[1]).all()
    assert found[2, 0] < 0 < found[2, 1]
