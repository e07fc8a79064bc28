"""Calibration: a calibrated prediction is found calibrated, a distorted one is not, intervals cover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.outcomes import Outcomes
from training.evaluation.calibration import (
    aj_calibration,
    calibration_groups,
    calibration_in_the_large,
    observed_over_expected,
    observed_risk,
)
from training.models.nonparametric import aalen_johansen

Draw = Callable[..., Any]
HORIZON = 20.0


def test_truth_is_calibrated_in_every_group(draw: Draw) -> None:
    outcomes, _, truth = draw(1, 4000, tied=False)
    risk = truth[:, 0, 2]
    groups = calibration_groups(risk, outcomes, 1, HORIZON)
    # Risks come in steps that hold up to 160 rows and are never split.
    assert [group.n_rows for group in groups] == pytest.approx([400] * 10, abs=160)
    assert (np.diff([group.predicted for group in groups]) > 0).all()
    covered = [group.observed.low <= group.predicted <= group.observed.high for group in groups]
    assert sum(covered) >= 8
    assert (
        sum(group.n_events for group in groups) == ((outcomes.cause == 1) & (outcomes.duration_days <= HORIZON)).sum()
    )


def test_distortion_shows_in_the_groups(draw: Draw) -> None:
    outcomes, _, truth = draw(1, 4000, tied=False)
    groups = calibration_groups(truth[:, 0, 2] ** 2, outcomes, 1, HORIZON, n_groups=4)
    assert all(group.predicted < group.observed.low for group in groups)


def test_equal_risks_are_one_group(draw: Draw) -> None:
    outcomes, *_ = draw(1, 50)
    (group,) = calibration_groups(np.full(50, 0.3), outcomes, 1, HORIZON)
    assert group.predicted == pytest.approx(0.3)
    assert group.n_rows == 50
    assert group.observed.point == aalen_johansen(outcomes).at(np.array([HORIZON]))[0, 0]


def test_groups_without_or_with_only_events_have_no_bounds() -> None:
    outcomes = Outcomes(np.array([1.0, 2.0, 3.0, 30.0]), np.array([1, 1, 0, 0]), ("infection",))
    high, low = calibration_groups(np.array([0.8, 0.8, 0.1, 0.1]), outcomes, 1, HORIZON, n_groups=2)[::-1]
    assert (high.observed.point, low.observed.point) == (1.0, 0.0)
    assert np.isnan([high.observed.low, high.observed.high, low.observed.low, low.observed.high]).all()


def test_groups_refuse_other_rows(draw: Draw) -> None:
    outcomes, *_ = draw(1, 50)
    with pytest.raises(ValueError, match="one risk for each row"):
        calibration_groups(np.full(49, 0.3), outcomes, 1, HORIZON)


def test_intervals_cover_the_truth(draw: Draw) -> None:
    known = draw(2, 200_000, tied=False)[2][:, :, 2].mean(axis=0)
    covered = np.zeros(3)
    for seed in range(200):
        outcomes, *_ = draw(seed, 150)
        for index in range(2):
            observed = observed_risk(outcomes, index + 1, HORIZON)
            covered[index] += observed.low <= known[index] <= observed.high
        large = calibration_in_the_large(np.full(150, known[0]), outcomes, 1, HORIZON)
        covered[2] += large.low <= 1 <= large.high
        assert large.point == pytest.approx(observed_risk(outcomes, 1, HORIZON).point / known[0])
    # 95 % of 200, give or take three standard errors.
    assert (np.abs(covered - 190) < 10).all(), covered


def test_in_the_large_without_events_has_no_bounds() -> None:
    outcomes = Outcomes(np.array([30.0, 40.0]), np.array([0, 0]), ("infection",))
    found = calibration_in_the_large(np.array([0.1, 0.2]), outcomes, 1, HORIZON)
    assert found.point == 0.0
    assert np.isnan([found.low, found.high]).all()


def test_observed_over_expected(draw: Draw) -> None:
    outcomes, times, truth = draw(1, 4000, tied=False)
    np.testing.assert_allclose(observed_over_expected(truth, times, outcomes), 1, atol=0.1)
    halved = observed_over_expected(truth / 2, times, outcomes)
    np.testing.assert_allclose(halved, 2 * observed_over_expected(truth, times, outcomes))
    assert np.isnan(observed_over_expected(0 * truth, times, outcomes)).all()


def test_observed_over_expected_of_resamples(draw: Draw) -> None:
    outcomes, times, truth = draw(1, 40)
    counts = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), size=3)
    together = observed_over_expected(truth, times, outcomes, counts.astype(float))
    for one, count in enumerate(counts):
        rows = np.repeat(np.arange(40), count)
        np.testing.assert_allclose(together[one], observed_over_expected(truth[rows], times, outcomes.take(rows)))


def test_aj_calibration_by_hand() -> None:
    # One of twenty rows is the least that counts, and it is followed to day 30.
    outcomes = Outcomes(np.repeat([4.0, 10.0, 30.0], [10, 9, 1]), np.repeat([1, 0, 0], [10, 9, 1]), ("infection",))
    times = np.array([5.0, 10.0, 20.0, 40.0])
    incidence = np.broadcast_to([0.3, 0.6, 0.7, 0.9], (20, 1, 4))
    # The estimate is 0.5 from day 4 on; day 40 is after the follow-up of all.
    expected = (0.5 * 0.04 * 5 + (0.04 + 0.01) / 2 * 5 + (0.01 + 0.04) / 2 * 10) / 20
    np.testing.assert_allclose(aj_calibration(incidence, times, outcomes), [expected])


def test_aj_calibration_without_a_time_is_not_defined() -> None:
    outcomes = Outcomes(np.array([1.0, 2.0]), np.array([1, 0]), ("infection",))
    assert np.isnan(aj_calibration(np.full((2, 1, 1), 0.5), np.array([3.0]), outcomes)).all()


def test_aj_calibration_finds_distortion_only(draw: Draw) -> None:
    outcomes, times, truth = draw(1, 4000, tied=False)
    right, shuffled, wrong = (aj_calibration(x, times, outcomes) for x in (truth, truth[::-1], 1.2 * truth))
    np.testing.assert_allclose(shuffled, right, rtol=1e-9)  # right on average is all it asks for
    assert (right < 2e-4).all()
    assert (wrong > 10 * right).all()


def test_aj_calibration_of_resamples(draw: Draw) -> None:
    outcomes, times, truth = draw(1, 40)
    counts = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), size=3)
    together = aj_calibration(truth, times[:2], outcomes, counts.astype(float))
    for one, count in enumerate(counts):
        rows = np.repeat(np.arange(40), count)
        np.testing.assert_allclose(together[one], aj_calibration(truth[rows], times[:2], outcomes.take(rows)))


def test_aj_calibration_equals_hazardous(draw: Draw) -> None:
    metrics = pytest.importorskip("hazardous.metrics")
    outcomes, times, truth = draw(1, 200, tied=False)
    times, truth = np.append(0.0, times), np.concatenate([np.zeros((200, 2, 1)), truth], axis=-1)
    whole = np.concatenate([1 - truth.sum(axis=1, keepdims=True), truth], axis=1)
    table = pd.DataFrame({"event": outcomes.cause, "duration": outcomes.duration_days})
    expected = metrics.aj_calibration_per_event(table, times, whole)
    np.testing.assert_allclose(aj_calibration(truth, times, outcomes), [expected[1], expected[2]], atol=1e-12)
