"""Weights: what they add up to, and what happens where G becomes 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.evaluation.brier import brier_score
from training.evaluation.ipcw import identified_days, scorable_times, scoring_weights
from training.models.nonparametric import aalen_johansen

Draw = Callable[..., Any]


def outcomes(duration: list[float], cause: list[int], entry: list[float] | None = None) -> Outcomes:
    return Outcomes(np.array(duration), np.array(cause), ("infection",), None if entry is None else np.array(entry))


@given(seed=st.integers(0, 10_000), n=st.integers(5, 40))
def test_weighted_events_are_the_aalen_johansen_estimate(draw: Draw, seed: int, n: int) -> None:
    rows, times, _ = draw(seed, n)
    weights = scoring_weights(rows, times)
    for index in range(len(rows.causes)):
        happened = (rows.cause == index + 1)[:, None] & (rows.duration_days[:, None] <= times)
        np.testing.assert_allclose(weights.event @ happened / n, aalen_johansen(rows).at(times)[index], atol=1e-12)


@given(seed=st.integers(0, 10_000), n=st.integers(5, 40))
def test_weights_add_up_to_the_number_of_rows(draw: Draw, seed: int, n: int) -> None:
    rows, times, _ = draw(seed, n)
    times = scorable_times(rows, np.append(times, rows.duration_days.max()))
    weights = scoring_weights(rows, times)
    happened = (rows.cause > 0)[:, None] & (rows.duration_days[:, None] <= times)
    leaving = (rows.cause == 0)[:, None] & (rows.duration_days[:, None] == times)
    followed = rows.duration_days[:, None] > times
    total = weights.event @ happened + weights.after * followed.sum(axis=0) + weights.tied * leaving.sum(axis=0)
    np.testing.assert_allclose(total, n, rtol=1e-12)


def test_weights_by_hand() -> None:
    rows = outcomes([1, 2, 2, 3], [1, 0, 1, 1])
    weights = scoring_weights(rows, np.array([1.0, 2.0]))
    np.testing.assert_allclose(weights.event, [1, 0, 1, 2])
    np.testing.assert_allclose(weights.after, [1, 2])
    np.testing.assert_allclose(weights.tied, [0, 0])


def test_administrative_censoring_at_the_horizon_keeps_the_survivors() -> None:
    rows = outcomes([1, 3, 5, 5], [1, 0, 0, 0])
    risk = np.full((4, 1, 2), 0.25)
    score = brier_score(risk, np.array([4.0, 5.0]), rows)[0]
    # No-one left between day 4 and day 5, so the same is known: one of four had the event.
    np.testing.assert_allclose(score, [(0.75**2 + 3 * 0.25**2) / 4] * 2)


def test_nothing_is_known_after_the_last_censoring() -> None:
    rows = outcomes([1, 3, 5, 5], [1, 0, 0, 0])
    assert np.isnan(brier_score(np.full((4, 1, 1), 0.25), np.array([5.5]), rows)).all()
    assert identified_days(rows) == 5.0
    np.testing.assert_array_equal(scorable_times(rows, np.array([2.0, 5.0, 5.5])), [2.0, 5.0])


def test_everything_is_known_after_a_last_event() -> None:
    rows = outcomes([1, 3, 5], [1, 0, 1])
    assert identified_days(rows) == np.inf
    np.testing.assert_allclose(brier_score(np.full((3, 1, 1), 1.0), np.array([99.0]), rows), 0.0)


def test_other_source_of_the_censoring_distribution() -> None:
    rows = outcomes([1, 2, 4], [1, 1, 1])
    source = outcomes([1, 1.5, 3, 3], [1, 0, 0, 1])
    weights = scoring_weights(rows, np.array([1.0, 2.0, 3.5]), censoring_from=source)
    # In the source G is 2/3 from day 1.5 and 0 from day 3: nothing stands for the event of day 4.
    np.testing.assert_allclose(weights.event, [1, 1.5, 0])
    np.testing.assert_allclose(weights.after, [1, 1.5, np.nan])
    score = brier_score(np.full((3, 1, 3), 0.5), weights.times_days, rows, weights)
    np.testing.assert_allclose(score[0], [0.25, 0.25 * (1 + 1.5 + 1.5) / 3, np.nan])


def test_other_source_that_ends_on_the_day_of_scoring() -> None:
    rows = outcomes([1, 2, 4], [1, 0, 1])
    weights = scoring_weights(rows, np.array([2.0]), censoring_from=outcomes([1, 2], [1, 0]))
    # G(2) = 0 but G(2−) = 1: all three are known on day 2.
    np.testing.assert_allclose(brier_score(np.full((3, 1, 1), 0.0), weights.times_days, rows, weights), 1 / 3)


def test_refuses_delayed_entry() -> None:
    with pytest.raises(SequelaError, match="1 of 2 rows came under observation after the landmark"):
        scoring_weights(outcomes([3, 4], [1, 0], [0, 2]), np.array([3.0]))


def test_accepts_entries_on_the_landmark() -> None:
    rows = outcomes([3, 4], [1, 0], [0, 0])
    np.testing.assert_allclose(scoring_weights(rows, np.array([3.0])).event, [1, 0])


def test_refuses_times_after_all_follow_up() -> None:
    with pytest.raises(SequelaError, match="the first time, 9 days, is after the end of all follow-up at 4 days"):
        scorable_times(outcomes([3, 4], [1, 0]), np.array([9.0]))
