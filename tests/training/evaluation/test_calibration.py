"""Calibration: a calibrated prediction is found calibrated, a distorted one is not, intervals cover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from features.outcomes import Outcomes
from training.evaluation.calibration import (
    calibration_groups,
    calibration_in_the_large,
    integrated_calibration_index,
    observed_over_expected,
    observed_risk,
    smoothed_observed,
)
from training.evaluation.pseudo import pseudo_values
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


@pytest.mark.parametrize(
    ("distort", "distance"),
    [
        pytest.param(lambda risk: risk, 0.0, id="truth"),
        pytest.param(lambda risk: risk + 0.1, 0.1, id="shifted"),
        pytest.param(lambda risk: 0.5 * risk, None, id="halved"),
        pytest.param(lambda risk: risk**2, None, id="squared"),
    ],
)
def test_ici_is_the_mean_distance_to_the_truth(draw: Draw, distort: Callable[[Any], Any], distance: float) -> None:
    outcomes, times, truth = draw(3, 20_000, tied=False)
    pseudo = pseudo_values(outcomes, times)[:, 0, 2]
    true_risk = truth[:, 0, 2]
    risk = distort(true_risk)
    expected = np.abs(true_risk - risk).mean()
    assert distance is None or expected == pytest.approx(distance)
    assert integrated_calibration_index(risk, pseudo) == pytest.approx(expected, abs=0.015)


def test_curve_of_a_constant_prediction_is_the_estimate(draw: Draw) -> None:
    outcomes, times, _ = draw(3, 60)
    pseudo = pseudo_values(outcomes, times)[:, 0, 2]
    curve = smoothed_observed(np.full(60, 0.2), pseudo)
    np.testing.assert_allclose(curve, aalen_johansen(outcomes).at(times)[0, 2], atol=1e-12)


def test_curve_of_two_risks_is_the_mean_of_each(draw: Draw) -> None:
    outcomes, times, _ = draw(3, 60)
    pseudo = pseudo_values(outcomes, times)[:, 0, 2]
    risk = np.where(np.arange(60) < 20, 0.2, 0.6)
    curve = smoothed_observed(risk, pseudo)
    np.testing.assert_allclose(curve[[0, -1]], [pseudo[:20].mean(), pseudo[20:].mean()], atol=1e-10)


def test_curve_of_resamples_is_that_of_repeated_rows(draw: Draw) -> None:
    outcomes, times, truth = draw(3, 60)
    pseudo, risk = pseudo_values(outcomes, times)[:, 0, 2], truth[:, 0, 2]
    counts = np.random.default_rng(0).integers(1, 3, size=(2, 60))
    found = smoothed_observed(risk, pseudo, counts.astype(float))
    design = np.column_stack([risk**0, risk, _cubic(risk)])
    for one, count in enumerate(counts):
        rows = np.repeat(np.arange(60), count)
        fitted = design @ np.linalg.lstsq(design[rows], pseudo[rows], rcond=None)[0]
        np.testing.assert_allclose(found[one], np.clip(fitted, 0, 1), atol=1e-8)
        index = integrated_calibration_index(risk, pseudo, counts.astype(float))[one]
        assert index == pytest.approx(np.abs(np.clip(fitted, 0, 1) - risk)[rows].mean())


def _cubic(risk: Any) -> Any:
    """A natural cubic spline's term with knots a < b < c: cubic between, linear outside."""
    a, b, c = np.quantile(risk, [0.1, 0.5, 0.9])

    def from_last(knot: float) -> Any:
        return (np.maximum(risk - knot, 0) ** 3 - np.maximum(risk - c, 0) ** 3) / (c - knot)

    return from_last(a) - from_last(b)
