"""Pseudo-values: derivatives by finite differences, their mean, their use as a standard error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.outcomes import Outcomes
from training.evaluation.pseudo import influence, pseudo_values
from training.models.nonparametric import aalen_johansen

Draw = Callable[..., Any]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 30), late=st.booleans())
def test_influence_is_the_derivative(draw: Draw, seed: int, n: int, late: bool) -> None:
    outcomes, times, _ = draw(seed, n)
    if late:
        entry = np.floor(outcomes.duration_days * np.random.default_rng(seed).uniform(0, 0.99, n))
        outcomes = Outcomes(outcomes.duration_days, outcomes.cause, outcomes.causes, entry)
    step = 1e-5
    upper, lower = (aalen_johansen(outcomes, 1 + sign * step * np.eye(n)).at(times) for sign in (1, -1))
    np.testing.assert_allclose(influence(outcomes, times), (upper - lower) / (2 * step), atol=1e-6)


@given(seed=st.integers(0, 10_000), n=st.integers(3, 30))
def test_mean_is_the_estimate(draw: Draw, seed: int, n: int) -> None:
    outcomes, times, _ = draw(seed, n)
    estimate = aalen_johansen(outcomes).at(times)
    np.testing.assert_allclose(pseudo_values(outcomes, times).mean(axis=0), estimate, atol=1e-12)


def test_without_censoring_it_is_the_outcome() -> None:
    outcomes = Outcomes(np.array([1.0, 2.0, 2.0, 4.0]), np.array([1, 2, 1, 2]), ("infection", "death"))
    expected = [[1, 0], [0, 1], [1, 0], [0, 0]]
    np.testing.assert_allclose(pseudo_values(outcomes, np.array([3.0]))[..., 0], expected, atol=1e-12)


def test_near_the_leave_one_out_pseudo_value(draw: Draw) -> None:
    n = 400
    outcomes, times, _ = draw(5, n)
    left_out = aalen_johansen(outcomes, 1 - np.eye(n)).at(times)
    jackknife = n * aalen_johansen(outcomes).at(times) - (n - 1) * left_out
    np.testing.assert_allclose(pseudo_values(outcomes, times), jackknife, rtol=0.03, atol=0.01)
