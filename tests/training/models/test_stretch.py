"""Stretched truths: incidences still, further apart, of the same mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.models.stretch import MOST_APART, Stretch, log_cumulative_hazard, moved, risk_of

TIMES = np.array([30.0, 90.0, 365.0])
DAYS = np.array([0.0, 100.0])
FACTORS = st.floats(1.0, 3.0)
Values = NDArray[np.float64]


def incidences(seed: int) -> Values:
    """(40, 2, 3)."""
    gained = np.random.default_rng(seed).dirichlet(np.full(7, 0.4), size=40)[:, :6]
    return gained.reshape(40, 2, 3).cumsum(axis=2)


def stretch(factor: tuple[float, float], centre: float = -1.5) -> Stretch:
    return Stretch(np.array(factor), DAYS, TIMES, np.stack([np.full((2, 3), centre), np.full((2, 3), centre + 1.0)]))


@given(st.integers(0, 1000), FACTORS, FACTORS)
def test_what_is_stretched_is_an_incidence(seed: int, first: float, second: float) -> None:
    apart = stretch((first, second)).incidence(incidences(seed), np.zeros(40), TIMES)
    assert (apart >= 0).all()
    assert (np.diff(apart, axis=2) >= 0).all()
    assert (apart.sum(axis=1) <= 1 + 1e-9).all()


@given(st.integers(0, 1000), FACTORS)
def test_distances_from_the_centre_grow_by_the_factor_as_far_as_they_count(seed: int, factor: float) -> None:
    theta = np.random.default_rng(seed).normal(-1.5, 3.0, (40, 2, 3))
    found = stretch((factor, 1.0)).theta(theta, np.zeros(40), TIMES)
    near = np.abs(theta + 1.5) < MOST_APART
    np.testing.assert_allclose((found[:, 0] + 1.5)[near[:, 0]], factor * (theta[:, 0] + 1.5)[near[:, 0]], atol=1e-9)
    assert np.abs(found - theta).max() <= (factor - 1) * MOST_APART + 1e-9
    np.testing.assert_array_equal(found[:, 1], theta[:, 1])


def test_a_factor_of_one_changes_no_bit_and_no_risk_stays_none() -> None:
    incidence = incidences(0)
    assert stretch((1.0, 1.0)).incidence(incidence, np.zeros(40), TIMES) is incidence
    incidence[:5, :, 0] = 0.0
    assert (stretch((3.0, 2.0)).incidence(incidence, np.zeros(40), TIMES)[:5, :, 0] == 0).all()


def test_a_landmark_has_a_centre_of_its_own_and_other_days_the_nearest() -> None:
    theta = np.zeros((3, 2, 3))
    found = stretch((2.0, 2.0)).theta(theta, np.array([0.0, 100.0, 70.0]), TIMES)
    np.testing.assert_allclose(found[:, 0, 0], [1.5, 0.5, 0.5])


def test_between_its_times_the_centre_is_interpolated_and_before_them_falls_as_hazards_do() -> None:
    known = Stretch(np.array([2.0]), np.zeros(1), np.array([100.0, 400.0]), np.array([[[-2.0, -1.0]]]))
    day = np.zeros(1)
    assert known.theta(np.array([[[-1.0]]]), day, np.array([200.0])).item() == pytest.approx(-1.5 + 2.0 * 0.5)
    early = known.theta(np.array([[[-2.0 - np.log(2)]]]), day, np.array([50.0])).item()
    assert early == pytest.approx(-2.0 - np.log(2)), "who is like the mean is not moved"


def test_who_has_no_risk_is_not_moved() -> None:
    theta = log_cumulative_hazard(np.array([0.0, 1e-12, 0.2]))
    np.testing.assert_array_equal(moved(theta, np.array(-2.0), np.array(3.0))[:2], theta[:2])


def test_the_scale_of_intervals_and_back() -> None:
    risk = np.array([1e-6, 0.1, 0.5, 0.999])
    np.testing.assert_allclose(risk_of(log_cumulative_hazard(risk)), risk, rtol=1e-9)
