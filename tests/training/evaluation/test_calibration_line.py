"""Calibration intercept and slope: known distortions are found, and what is not determined is NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluation.calibration_line import calibration_line
from training.evaluation.pseudo import pseudo_values

Draw = Callable[..., Any]


def distorted(risk: NDArray[np.float64], shift: float, spread: float) -> NDArray[np.float64]:
    """A risk whose intercept is −shift (spread 1) and whose slope is 1 / spread."""
    line = np.log(-np.log1p(-risk))
    return -np.expm1(-np.exp(shift + line.mean() + spread * (line - line.mean())))


@pytest.mark.parametrize(
    ("shift", "spread", "intercept", "slope"),
    [
        pytest.param(0.0, 1.0, 0.0, 1.0, id="truth"),
        pytest.param(0.5, 1.0, -0.5, 1.0, id="too high"),
        pytest.param(0.0, 2.0, None, 0.5, id="too far apart"),
        pytest.param(-0.3, 0.5, None, 2.0, id="too low and too close"),
    ],
)
def test_known_distortions(draw: Draw, shift: float, spread: float, intercept: float | None, slope: float) -> None:
    outcomes, times, truth = draw(5, 20_000, tied=False)
    found = calibration_line(distorted(truth[:, 0, 2], shift, spread), pseudo_values(outcomes, times)[:, 0, 2])
    assert found.slope == pytest.approx(slope, rel=0.06)
    assert intercept is None or found.intercept == pytest.approx(intercept, abs=0.05)


def test_resamples_are_repeated_rows(draw: Draw) -> None:
    outcomes, times, truth = draw(5, 80)
    risk, pseudo = truth[:, 0, 2], pseudo_values(outcomes, times)[:, 0, 2]
    counts = np.random.default_rng(0).multinomial(80, np.full(80, 1 / 80), size=3)
    together = calibration_line(risk, pseudo, counts.astype(float))
    for one, count in enumerate(counts):
        rows = np.repeat(np.arange(80), count)
        alone = calibration_line(risk[rows], pseudo[rows])
        np.testing.assert_allclose(together.intercept[one], alone.intercept, atol=1e-7)
        np.testing.assert_allclose(together.slope[one], alone.slope, atol=1e-7)


def test_solves_the_estimating_equations(draw: Draw) -> None:
    outcomes, times, truth = draw(6, 60)
    risk, pseudo = truth[:, 0, 2], pseudo_values(outcomes, times)[:, 0, 2]
    found, line = calibration_line(risk, pseudo), np.log(-np.log1p(-risk))
    hazard = np.exp(found.intercept + line)
    assert (hazard * np.exp(-hazard) * (pseudo + np.expm1(-hazard))).sum() == pytest.approx(0, abs=1e-7)


def test_constant_risk_has_an_intercept_only(draw: Draw) -> None:
    outcomes, times, _ = draw(5, 80)
    pseudo = pseudo_values(outcomes, times)[:, 0, 2]
    found = calibration_line(np.full(80, 0.2), pseudo, np.ones((3, 80)))
    np.testing.assert_allclose(found.intercept, np.log(np.log1p(-pseudo.mean()) / np.log(0.8)))
    assert np.isnan(found.slope).all()


def test_without_events_it_is_not_determined() -> None:
    found = calibration_line(np.linspace(0.1, 0.5, 20), np.zeros(20))
    assert np.isnan([found.intercept, found.slope]).all()


def test_risks_of_0_and_1_do_no_harm(draw: Draw) -> None:
    outcomes, times, truth = draw(5, 200)
    risk, pseudo = truth[:, 0, 2].copy(), pseudo_values(outcomes, times)[:, 0, 2]
    risk[:2] = 0.0, 1.0
    found = calibration_line(risk, pseudo)
    assert np.isfinite([found.intercept, found.slope]).all()
