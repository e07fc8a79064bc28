"""Expected numbers by landmark: what always holds, and the truth of simulated patients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from counted import counts_for, simulated_counts, true_mean
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import SequelaError
from features.recurrence import Recurrences
from training.fitting.mean_count import fit_by_landmark, fit_proportional_means
from training.fitting.mean_count_penalty import PENALTIES, fit_counts
from training.models.expected_counts import ExpectedCounts
from training.models.mean_count import marginal_mean

TIMES = np.array([0.0, 20.0, 90.0, 180.0, 365.0, 9000.0])


def drawn(seed: int, n: int, n_features: int) -> tuple[np.ndarray[Any, Any], Recurrences, np.ndarray[Any, Any]]:
    """Features of which the first has an effect, events, and patient ids."""
    x = np.random.default_rng(seed).normal(size=(n, n_features))
    ids = np.array([f"p{i}" for i in range(n)], dtype=object)
    return x, simulated_counts(0.5 * x[:, 0], seed), ids


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(8, 40), penalty=st.sampled_from([0.5, 5.0, 50.0]))
def test_numbers_grow_and_the_order_of_rows_does_not_matter(seed: int, n: int, penalty: float) -> None:
    x, events, _ = drawn(seed, n, 3)
    if not len(events.day):
        return
    strata = {0.0: (x, events), 30.0: (x[: n // 2], events.take(np.arange(n // 2)))}
    counts = fit_by_landmark(strata, penalty=penalty)
    day = np.tile([0.0, 30.0], n)[:n]
    found = counts.expected(x, day, TIMES)
    assert np.isfinite(found).all()
    assert (found[:, 0] == 0).all()
    assert (np.diff(found, axis=1) >= 0).all()
    order = np.random.default_rng(seed).permutation(n)
    shuffled = {
        0.0: (x[order], events.take(order)),
        30.0: (x[: n // 2][::-1], events.take(np.arange(n // 2)[::-1])),
    }
    again = fit_by_landmark(shuffled, penalty=penalty)
    np.testing.assert_allclose(again.expected(x, day, TIMES), found, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(counts.expected(x[order], day[order], TIMES), found[order], rtol=1e-12)


def test_from_other_days_nothing_is_said() -> None:
    counts = counts_for(2)
    found = counts.expected(np.zeros((3, 2)), np.array([0.0, 15.0, 30.0]), TIMES)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()
    assert (found[0] != found[2]).any()
    assert found[0, -1] == found[0, -2] + counts.means[0].increments[counts.means[0].times_days > 365].sum()


def test_means_are_of_each_landmark_and_effects_of_all() -> None:
    """Without features each mean is that of its own patients; with them, one landmark alone gives the same fit."""
    x, events, _ = drawn(1, 60, 2)
    later = simulated_counts(np.full(40, 1.0), 2)
    nothing = fit_by_landmark({0.0: (x[:, :0], events), 30.0: (np.zeros((40, 0)), later)}, penalty=1.0)
    for mean, own in zip(nothing.means, (events, later), strict=True):
        np.testing.assert_allclose(
            mean.expected_count(np.zeros((1, 0)), TIMES)[0], marginal_mean(own).at(TIMES), rtol=1e-9
        )
    single = fit_proportional_means(x, events, penalty=2.0)
    quiet = replace(later, row=later.row[:0], day=later.day[:0])
    beside = fit_by_landmark({0.0: (x, events), 30.0: (np.ones((40, 2)), quiet)}, penalty=2.0)
    np.testing.assert_allclose(beside.beta, single.beta, rtol=1e-9)
    assert (beside.expected(np.ones((1, 2)), np.array([30.0]), TIMES) == 0).all()
    twice = fit_by_landmark({0.0: (x, events), 30.0: (x, events)}, penalty=4.0)  # the same likelihood twice over
    np.testing.assert_allclose(twice.beta, single.beta, rtol=1e-6)


def test_the_truth_is_found_and_the_penalty_goes_with_what_there_is() -> None:
    """β = 0.5 of one of ten features; where nothing has an effect, nearly nothing is left of any."""
    x, events, ids = drawn(3, 1500, 10)
    found = fit_counts({0.0: (x, events)}, {0.0: ids}, penalty=None, seed=0)
    np.testing.assert_allclose(found.beta, [0.5, *[0.0] * 9], atol=0.1)  # standard errors are about 0.035
    one = found.expected(np.zeros((1, 10)), np.zeros(1), np.array([90.0, 300.0]))[0]
    np.testing.assert_allclose(one, [true_mean(90.0), true_mean(300.0)], rtol=0.1)
    without = fit_counts({0.0: (x, simulated_counts(np.zeros(1500), 4))}, {0.0: ids}, penalty=None, seed=0)
    assert without.penalty > 10 * found.penalty
    assert np.abs(without.beta).max() < 0.05


def test_more_features_than_rows_give_the_ridge_solution() -> None:
    x, events, ids = drawn(5, 30, 50)
    found = fit_counts({0.0: (x, events)}, {0.0: ids}, penalty=3.0, seed=0)
    np.testing.assert_allclose(found.beta, fit_proportional_means(x, events, penalty=3.0).beta, atol=1e-6)


def test_few_events_take_the_strongest_penalty() -> None:
    x, events, ids = drawn(6, 20, 2)
    few = replace(events, row=events.row[:5], day=events.day[:5])
    assert fit_counts({0.0: (x, few)}, {0.0: ids}, penalty=None, seed=0).penalty == PENALTIES[-1]


def test_copies_of_a_patient_choose_as_one_patient_does() -> None:
    """Inner folds keep patients whole: were copies divided, effects of chance would seem to hold on the others."""
    rng = np.random.default_rng(7)
    x, events = rng.normal(size=(60, 30)), simulated_counts(np.zeros(60), 7)
    rows = np.tile(np.arange(60), 4)
    ids = np.array([f"p{i}" for i in rows], dtype=object)
    apart = np.array([f"p{i}" for i in range(len(rows))], dtype=object)
    copies = {0.0: (x[rows], events.take(rows))}
    whole = fit_counts(copies, {0.0: ids}, penalty=None, seed=0)
    divided = fit_counts(copies, {0.0: apart}, penalty=None, seed=0)
    assert np.abs(whole.beta).max() < 0.2 * np.abs(divided.beta).max()


def test_they_come_back_from_their_state_and_refuse_what_does_not_fit() -> None:
    counts = counts_for(4)
    parts = counts.landmark_days, counts.n_times, counts.penalty
    again = ExpectedCounts.from_state(*parts, counts.state())
    x, day = np.random.default_rng(0).normal(size=(6, 4)), np.tile([0.0, 30.0], 3)
    np.testing.assert_array_equal(again.expected(x, day, TIMES), counts.expected(x, day, TIMES))
    state = counts.state()
    spoilt = [
        state | {"times_days": state["times_days"][1:]},
        state | {"increments": -state["increments"]},
        state | {"times_days": state["times_days"][::-1]},
        state | {"beta": np.full(4, np.nan)},
        state | {"beta": np.zeros((2, 2))},
    ]
    for arrays in spoilt:
        with pytest.raises(ValueError, match="expected numbers"):
            ExpectedCounts.from_state(*parts, arrays)
    with pytest.raises(ValueError, match="expected numbers"):
        ExpectedCounts((0.0,), counts.means)


def test_no_event_at_any_landmark_is_said() -> None:
    nothing = Recurrences(np.ones(3), np.zeros(3, np.int64), np.zeros(0, np.int64), np.zeros(0), "infection", ())
    with pytest.raises(SequelaError, match="counts of infection: nobody had one"):
        fit_by_landmark({0.0: (np.zeros((3, 1)), nothing), 30.0: (np.zeros((3, 1)), nothing)}, penalty=1.0)


def test_what_is_known_by_a_day_and_rows_one_after_the_other() -> None:
    events = simulated_counts(np.zeros(50), 8)
    days = np.full(50, 60.0)
    then = events.known_by(days)
    assert (then.end_days == np.minimum(events.end_days, 60.0)).all()
    assert (then.terminal == np.where(events.end_days <= 60.0, events.terminal, 0)).all()
    np.testing.assert_array_equal(then.count_by(np.array([30.0, 60.0])), events.count_by(np.array([30.0, 60.0])))
    assert then.day.max() <= 60.0 < events.day.max()
    halves = [events.take(np.arange(20)), events.take(np.arange(20, 50))]
    both = Recurrences.concatenate(halves)
    np.testing.assert_array_equal(both.count_by(TIMES), events.count_by(TIMES))
    np.testing.assert_array_equal(both.end_days, events.end_days)
