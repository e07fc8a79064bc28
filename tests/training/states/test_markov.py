"""Whether the day of entry into a state matters: R's values, and processes in which it does and does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from state_processes import drawn, histories_of

from features.states import StateHistories
from training.states.markov import markov_tests


def test_r_has_the_same_hazard_ratios(golden: dict[str, Any]) -> None:
    found = markov_tests(histories_of(golden["tied"]["data"], tuple(golden["states"])))
    assert [(one.origin, one.target) for one in found] == [(one["from"], one["to"]) for one in golden["tied"]["markov"]]
    for ours, theirs in zip(found, golden["tied"]["markov"], strict=True):
        np.testing.assert_allclose(np.log(ours.later_entry.point), theirs["beta"], rtol=1e-6)
        np.testing.assert_allclose(ours.later_entry.standard_error, theirs["se"], rtol=1e-6)


def test_a_markov_process_is_seldom_suspected_and_another_one_often() -> None:
    """At 5 %, in 100 cohorts each: at most four binomial standard errors above 5 %, and in more than half."""
    n_cohorts, p_markov, p_other = 100, [], []
    for seed in range(n_cohorts):
        histories = drawn(seed, 200)
        p_markov.append(markov_tests(histories)[0].later_entry.p)
        rows = np.flatnonzero(histories.state == 1)
        entered, stop = histories.entered_days[rows], histories.stop_days[rows]
        sooner = np.where(entered > np.median(entered), (stop - entered) / 4, stop - entered)  # the later, the sooner
        infected = StateHistories(
            np.arange(len(rows)),
            histories.state[rows],
            entered,
            entered + sooner,
            histories.next_state[rows],
            entered,
            histories.states,
            len(rows),
        )
        p_other.append(markov_tests(infected)[0].later_entry.p)
    assert np.mean(np.array(p_markov) < 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / n_cohorts)
    assert np.mean(np.array(p_other) < 0.05) > 0.5


def test_few_moves_are_not_tested() -> None:
    found = markov_tests(drawn(1, 12))
    assert all(np.isnan(one.later_entry.p) == (one.n_moves < 10) for one in found)
    assert any(one.n_moves < 10 for one in found)
