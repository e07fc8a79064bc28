"""Stretched truths: incidences still, further apart, and undone by nothing but the factor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.models.stretch import Stretch, log_cumulative_hazard, risk_of

TIMES = np.array([30.0, 90.0, 365.0])
FACTORS = st.floats(1.0, 4.0)


def incidences(seed: int) -> np.ndarray:
    """(40, 2, 3)."""
    gained = np.random.default_rng(seed).dirichlet(np.full(7, 0.4), size=40)[:, :6]
    return gained.reshape(40, 2, 3).cumsum(axis=2)


def stretch(incidence: np.ndarray, factor: tuple[float, float]) -> Stretch:
    return Stretch(np.array(factor), log_cumulative_hazard(incidence).mean(axis=0), TIMES)


@given(st.integers(0, 1000), FACTORS, FACTORS)
def test_what_is_stretched_is_an_incidence(seed: int, first: float, second: float) -> None:
    incidence = incidences(seed)
    apart = stretch(incidence, (first, second)).incidence(incidence, TIMES)
    assert (apart >= 0).all()
    assert (np.diff(apart, axis=2) >= 0).all()
    assert (apart.sum(axis=1) <= 1 + 1e-9).all()


@given(st.integers(0, 1000), FACTORS)
def test_distances_on_the_scale_grow_by_the_factor(seed: int, factor: float) -> None:
    theta = log_cumulative_hazard(incidences(seed))
    found = stretch(incidences(seed), (factor, 1.0)).theta(theta, TIMES)
    np.testing.assert_allclose(found[:, 0] - found[:1, 0], factor * (theta[:, 0] - theta[:1, 0]), atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), theta.mean(axis=0), atol=1e-9)
    np.testing.assert_array_equal(found[:, 1], theta[:, 1])


def test_a_factor_of_one_changes_no_bit_and_no_risk_of_nothing_becomes_one() -> None:
    incidence = incidences(0)
    assert stretch(incidence, (1.0, 1.0)).incidence(incidence, TIMES) is incidence
    incidence[:5, :, 0] = 0.0
    assert (stretch(incidence, (3.0, 2.0)).incidence(incidence, TIMES)[:5, :, 0] == 0).all()


def test_between_its_times_the_centre_is_interpolated() -> None:
    known = Stretch(np.array([2.0]), np.array([[-2.0, -1.0]]), np.array([100.0, 200.0]))
    found = known.theta(np.array([[[-1.0]]]), np.array([150.0]))
    assert found.item() == pytest.approx(-1.5 + 2.0 * 0.5)


def test_the_scale_of_intervals_and_back() -> None:
    risk = np.array([1e-6, 0.1, 0.5, 0.999])
    np.testing.assert_allclose(risk_of(log_cumulative_hazard(risk)), risk, rtol=1e-9)
