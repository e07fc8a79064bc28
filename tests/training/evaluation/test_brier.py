"""Brier score: the slow definition, the truth wins, bounds, resamples; its integral; IPA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.brier import brier_score, integrate, null_brier_score, prediction_accuracy
from training.evaluation.ipcw import scoring_weights
from training.models.nonparametric import aalen_johansen, censoring_survival

Draw = Callable[..., Any]


def slow_brier_score(risk: NDArray[np.float64], time: float, outcomes: Outcomes, cause: int) -> float:
    """The definition, one row at a time."""
    survival = censoring_survival(outcomes)
    total = 0.0
    for predicted, duration, happened in zip(risk, outcomes.duration_days, outcomes.cause, strict=True):
        if duration > time:
            total += predicted**2 / survival.at(np.array([time]))[0]
        elif happened:
            total += ((happened == cause) - predicted) ** 2 / survival.before(np.array([duration]))[0]
    return total / len(outcomes)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(20, 40))
def test_equals_the_definition_with_ties(draw: Draw, seed: int, n: int) -> None:
    outcomes, times, incidence = draw(seed, n)
    times, incidence = times[:3], incidence[..., :3]
    assume(censoring_survival(outcomes).at(times)[-1] > 0)
    found = brier_score(incidence, times, outcomes)
    slow = [[slow_brier_score(incidence[:, k, j], t, outcomes, k + 1) for j, t in enumerate(times)] for k in range(2)]
    np.testing.assert_allclose(found, slow, atol=1e-12)


@pytest.mark.parametrize("tied", [False, True], ids=["continuous", "whole days"])
def test_the_true_incidence_scores_best(draw: Draw, tied: bool) -> None:
    outcomes, times, truth = draw(11, 20_000, tied=tied)
    candidates = {
        "too high": np.clip(1.3 * truth, 0, 1),
        "too low": 0.7 * truth,
        "steeper": truth**1.3,
        "flatter": truth**0.8,
        "shrunk to the mean": 0.6 * truth + 0.4 * truth.mean(axis=0),
        "another patient's": np.roll(truth, 1, axis=0),
        "one minus survival": np.repeat(truth.sum(axis=1, keepdims=True), 2, axis=1),
    }
    best = brier_score(truth, times, outcomes)
    for name, candidate in candidates.items():
        assert (brier_score(candidate, times, outcomes) > best + 1e-5).all(), name


def test_truth_scores_its_expectation(draw: Draw) -> None:
    # With independent censoring the score estimates E[F (1 − F)], which needs no outcomes.
    outcomes, times, truth = draw(12, 40_000, tied=False)
    expected = (truth * (1 - truth)).mean(axis=0)
    np.testing.assert_allclose(brier_score(truth, times, outcomes), expected, rtol=0.03)


def test_ignoring_censoring_would_not(draw: Draw) -> None:
    # Without weights the score misses by more than twice the tolerance of the test above.
    outcomes, times, truth = draw(12, 40_000, tied=False)
    outcome = (outcomes.cause == 1) & (outcomes.duration_days <= times[-1])
    naive = ((outcome - truth[:, 0, -1]) ** 2).mean()
    assert abs(naive / (truth[:, 0, -1] * (1 - truth[:, 0, -1])).mean() - 1) > 0.06


@given(seed=st.integers(0, 10_000), n=st.integers(5, 40))
def test_bounds_and_order_of_rows(draw: Draw, seed: int, n: int) -> None:
    outcomes, times, incidence = draw(seed, n)
    score = brier_score(incidence, times, outcomes)
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_allclose(brier_score(incidence[order], times, outcomes.take(order)), score, atol=1e-12)
    known = score[~np.isnan(score)]
    assert ((known >= 0) & (known <= 1 + 1e-12)).all()  # the weights add up to n


@given(seed=st.integers(0, 10_000), n=st.integers(5, 40))
def test_null_is_the_score_of_aalen_johansen(draw: Draw, seed: int, n: int) -> None:
    outcomes, times, _ = draw(seed, n)
    same = np.broadcast_to(aalen_johansen(outcomes).at(times), (n, 2, len(times)))
    np.testing.assert_allclose(null_brier_score(times, outcomes), brier_score(same, times, outcomes), atol=1e-12)


@given(seed=st.integers(0, 10_000))
def test_resamples_are_repeated_rows(draw: Draw, seed: int) -> None:
    outcomes, times, incidence = draw(seed, 30)
    counts = np.random.default_rng(seed).integers(0, 3, size=(3, 30))
    weights = scoring_weights(outcomes, times, resamples=counts.astype(float))
    together = brier_score(incidence, times, outcomes, weights), null_brier_score(times, outcomes, weights)
    for one, count in enumerate(counts):
        rows = np.repeat(np.arange(30), count)
        alone = outcomes.take(rows)
        np.testing.assert_allclose(together[0][one], brier_score(incidence[rows], times, alone), atol=1e-12)
        np.testing.assert_allclose(together[1][one], null_brier_score(times, alone), atol=1e-12)


@pytest.mark.parametrize(
    ("range_days", "expected"),
    [
        pytest.param(None, (0.5 * 0.2 * 10 + 0.3 * 10) / 20, id="from day 0, where the score is 0"),
        pytest.param((10.0, 20.0), 0.3, id="between times"),
        pytest.param((5.0, 15.0), (0.15 * 5 + 0.25 * 5) / 10, id="within steps"),
    ],
)
def test_integral_by_hand(range_days: tuple[float, float] | None, expected: float) -> None:
    found = integrate(np.array([0.2, 0.4]), np.array([10.0, 20.0]), range_days)
    assert found == pytest.approx(expected)


def test_integral_does_not_touch_what_lies_after_it() -> None:
    found = integrate(np.array([0.0, 0.2, 0.4, np.nan]), np.array([0.0, 10.0, 20.0, 30.0]), (0.0, 20.0))
    assert found == pytest.approx((0.1 * 10 + 0.3 * 10) / 20)


@pytest.mark.parametrize("range_days", [(0.0, 21.0), (5.0, 5.0), (-1.0, 5.0)], ids=["late", "empty", "negative"])
def test_integral_refuses(range_days: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must lie within 0 to 20 days"):
        integrate(np.array([0.2, 0.4]), np.array([10.0, 20.0]), range_days)


def test_prediction_accuracy_without_events_is_not_defined() -> None:
    np.testing.assert_allclose(prediction_accuracy(np.array([0.1, 0.1]), np.array([0.2, 0.0])), [0.5, np.nan])


@pytest.mark.parametrize(
    ("incidence", "times", "message"),
    [
        pytest.param(np.zeros((3, 1, 2)), [1.0], r"expected \(rows, causes, times\) = \(2, 1, 1\)", id="shape"),
        pytest.param(np.full((2, 1, 1), np.nan), [1.0], "must be finite", id="not finite"),
        pytest.param(np.zeros((2, 1, 2)), [2.0, 1.0], "must ascend", id="order of times"),
    ],
)
def test_refuses(incidence: NDArray[np.float64], times: list[float], message: str) -> None:
    outcomes = Outcomes(np.array([1.0, 2.0]), np.array([1, 0]), ("infection",))
    with pytest.raises(ValueError, match=message):
        brier_score(incidence, np.array(times), outcomes)
