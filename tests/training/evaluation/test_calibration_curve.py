"""The calibration curve: the truth lies on the diagonal, and the distances are those of a slow definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.calibration_curve import calibration_distances, smoothed_observed
from training.evaluation.pseudo import pseudo_values
from training.models.nonparametric import aalen_johansen

Draw = Callable[..., Any]


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
    assert calibration_distances(risk, pseudo).ici == pytest.approx(expected, abs=0.015)


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
        index = calibration_distances(risk, pseudo, counts.astype(float)).ici[one]
        assert index == pytest.approx(np.abs(np.clip(fitted, 0, 1) - risk)[rows].mean())


def _cubic(risk: Any) -> Any:
    """A natural cubic spline's term with knots a < b < c: cubic between, linear outside."""
    a, b, c = np.quantile(risk, [0.1, 0.5, 0.9])

    def from_last(knot: float) -> Any:
        return (np.maximum(risk - knot, 0) ** 3 - np.maximum(risk - c, 0) ** 3) / (c - knot)

    return from_last(a) - from_last(b)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), n=st.integers(2, 30))
def test_distances_of_resamples_are_quantiles_of_repeated_rows(draw: Draw, seed: int, n: int) -> None:
    outcomes, times, truth = draw(seed, n)
    pseudo, risk = pseudo_values(outcomes, times)[:, 0, 2], truth[:, 0, 2]
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=4)
    found = calibration_distances(risk, pseudo, counts.astype(float))
    gap = np.abs(smoothed_observed(risk, pseudo, counts.astype(float)) - risk)
    for one, count in enumerate(counts):
        own = np.repeat(gap[one], count)
        expected = (own.mean(), np.median(own), np.quantile(own, 0.9), own.max())
        distances = (found.ici[one], found.e50[one], found.e90[one], found.emax[one])
        np.testing.assert_allclose(distances, expected, atol=1e-12)
