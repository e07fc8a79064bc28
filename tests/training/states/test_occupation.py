"""Occupation probabilities and times in states: R's values, properties of any process, and the truth of a known one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_processes import DAILY, STATES, drawn, histories_of, true_values

from features.outcomes import Outcomes
from features.states import STAYS, StateHistories
from training.effects.risks import RISK
from training.effects.time_lost import TIME_LOST
from training.models.nonparametric import aalen_johansen
from training.states.occupation import Occupation, occupation

TIMES = np.array([0.0, 30.0, 90.0, 200.0, 365.0])
processes = st.builds(
    drawn,
    st.integers(0, 10_000),
    st.integers(3, 40),
    late=st.sampled_from([0.0, 0.4]),
    whole_days=st.booleans(),
)


def assert_as_in_r(found: Occupation, expected: dict[str, Any]) -> None:
    errors = found.errors()
    for ours, theirs in (
        (found.probability, "pstate"),
        (errors[0], "std_err"),
        (found.days, "days"),
        (errors[2], "days_err"),
    ):
        np.testing.assert_allclose(ours, expected[theirs], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", ["tied", "smooth"])
def test_r_has_the_same_probabilities_times_and_errors(golden: dict[str, Any], case: str) -> None:
    histories = histories_of(golden[case]["data"], tuple(golden["states"]))
    expected = golden[case]["results"]
    assert_as_in_r(occupation(histories, np.array(expected["times"], dtype=float)), expected)


def test_r_has_the_same_values_of_mgus2(golden: dict[str, Any], shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "competing_risks" / "mgus2.csv")
    rows = []
    columns = (table[name].to_numpy(dtype=float) for name in ("ptime", "pstat", "futime", "death"))
    for i, (progression, progressed, end, died) in enumerate(zip(*columns, strict=True)):
        last = 2 if died else STAYS
        if progressed == 1:
            end = max(end, progression + 0.5)
            rows += [(i, 0, 0.0, progression, 1, 0.0), (i, 1, progression, end, last, progression)]
        else:
            rows.append((i, 0, 0.0, end, last, 0.0))
    names = ("id", "state", "start", "stop", "next_state", "entered")
    histories = histories_of(
        dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), ("event-free", "malignancy", "death")
    )
    expected = golden["mgus2"]["results"]
    assert_as_in_r(occupation(histories, np.array(expected["times"], dtype=float)), expected)


def test_r_has_the_same_values_of_patients_who_count_by_weights(golden: dict[str, Any]) -> None:
    histories = histories_of(golden["smooth"]["data"], tuple(golden["states"]))
    expected = golden["smooth"]["weighted"]
    found = occupation(histories, np.array(expected["times"], dtype=float), np.array(expected["weight"]))
    for ours, theirs in ((found.probability, "pstate"), (found.errors()[0], "std_err"), (found.days, "days")):
        np.testing.assert_allclose(ours, expected[theirs], rtol=1e-9, atol=1e-12)


@given(processes, st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_whole_weights_are_as_many_patients(histories: StateHistories, seed: int) -> None:
    weights = np.random.default_rng(seed).integers(1, 4, len(histories))
    found = occupation(histories, TIMES, weights.astype(float))
    several = occupation(histories.take(np.repeat(np.arange(len(histories)), weights)), TIMES)
    for name in ("probability", "entered", "days"):
        np.testing.assert_allclose(getattr(found, name), getattr(several, name), atol=1e-9)
    assert all((weighted >= one - 1e-9).all() for weighted, one in zip(found.errors(), several.errors(), strict=True))


@given(processes, st.integers(0, 1_000))
@settings(max_examples=15, deadline=None)
def test_the_covariance_is_that_of_derivatives_by_weights(histories: StateHistories, seed: int) -> None:
    """Σ w² (∂/∂w)(∂/∂w)ᵀ, by central differences."""
    weights = np.random.default_rng(seed).uniform(0.3, 3.0, len(histories))

    def flat(given_weights: Any) -> Any:
        one = occupation(histories, TIMES, given_weights)
        return np.concatenate([one.probability, one.entered, one.days], axis=1)

    parts = []
    for i, weight in enumerate(weights):
        step = np.zeros(len(weights))
        step[i] = 1e-5 * weight
        parts.append((flat(weights + step) - flat(weights - step)) / 2e-5)
    influence = np.stack(parts, axis=1)
    expected = np.einsum("tij,tik->tjk", influence, influence)
    np.testing.assert_allclose(occupation(histories, TIMES, weights).covariance, expected, rtol=2e-4, atol=1e-5)


@given(processes)
@settings(max_examples=40, deadline=None)
def test_probabilities_and_days_add_up(histories: StateHistories) -> None:
    found = occupation(histories, TIMES)
    assert (found.probability >= -1e-12).all()
    assert (found.days >= -1e-9).all()
    assert (np.diff(found.days, axis=0) >= -1e-9).all()
    assert (np.diff(found.entered, axis=0) >= -1e-12).all()
    assert (found.entered <= 1 + 1e-9).all()  # nobody returns
    np.testing.assert_allclose(found.probability.sum(axis=1), 1.0)
    np.testing.assert_allclose(found.days.sum(axis=1), TIMES, atol=1e-9)
    # Who is dead by t are those who ever died, and those in the other states came and did not leave.
    np.testing.assert_allclose(found.probability[:, 3], found.entered[:, 3], atol=1e-12)
    n = len(STATES)
    assert found.covariance is not None
    for block in (slice(0, n), slice(2 * n, 3 * n)):  # what sums to a constant has no variance
        np.testing.assert_allclose(found.covariance[:, block].sum(axis=1), 0.0, atol=1e-7)


@given(processes, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_patients_and_their_copies_change_nothing(histories: StateHistories, random: Any) -> None:
    order = np.array(random.sample(range(len(histories)), len(histories)))
    first, second = occupation(histories, TIMES), occupation(histories.take(order), TIMES)
    twice = occupation(histories.take(np.concatenate([order, order])), TIMES)
    for name in ("probability", "entered", "days"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), atol=1e-9)
        np.testing.assert_allclose(getattr(twice, name), getattr(first, name), atol=1e-9)
    assert first.covariance is not None
    assert second.covariance is not None
    assert twice.covariance is not None
    np.testing.assert_allclose(second.covariance, first.covariance, atol=1e-7)
    np.testing.assert_allclose(2 * twice.covariance, first.covariance, atol=1e-7)


@given(processes)
@settings(max_examples=25, deadline=None)
def test_without_onward_moves_it_is_competing_risks(histories: StateHistories) -> None:
    first = np.flatnonzero(histories.state == 0)
    if not len(first):
        return
    patients = np.arange(len(first))
    start, stop = histories.start_days[first], histories.stop_days[first]
    onward = histories.next_state[first]
    alone = StateHistories(patients, 0 * patients, start, stop, onward, 0 * start, STATES, len(first))
    found = occupation(alone, TIMES)
    outcomes = Outcomes(stop, np.maximum(onward, 0), STATES[1:], start if start.any() else None)
    np.testing.assert_allclose(found.probability[:, 1:], aalen_johansen(outcomes).at(TIMES).T, atol=1e-12)
    np.testing.assert_allclose(found.entered[:, 1:], found.probability[:, 1:], atol=1e-12)
    np.testing.assert_allclose(found.days[:, 1:], TIME_LOST.value(outcomes, TIMES, None).T, atol=1e-9)
    errors = found.errors()
    for ours, measure in ((errors[0], RISK), (errors[1], RISK), (errors[2], TIME_LOST)):
        theirs = np.sqrt((measure.influence(outcomes, TIMES, None) ** 2).sum(axis=0)).T
        np.testing.assert_allclose(ours[:, 1:], theirs, atol=1e-7)


def test_first_complications_are_those_of_competing_risks() -> None:
    """Whatever comes after: the probability of ever having had one is its cumulative incidence."""
    histories = drawn(3, 200)
    first = histories.state == 0
    outcomes = Outcomes(histories.stop_days[first], np.maximum(histories.next_state[first], 0), STATES[1:])
    found = occupation(histories, TIMES)
    np.testing.assert_allclose(found.entered[:, 1], aalen_johansen(outcomes).at(TIMES)[0], atol=1e-12)
    assert (found.probability[2:, 1] < found.entered[2:, 1]).all()


@pytest.mark.parametrize("late", [0.0, 0.3], ids=["from the landmark", "some observed late"])
def test_intervals_hold_the_truth_of_a_known_process(late: float) -> None:
    """In 300 cohorts of 150; four binomial standard errors about 95 %, and as much for the mean of the estimates."""
    n_cohorts, day = 300, 365.0
    probability, days = true_values(DAILY, day)
    points, errors = [], []
    for seed in range(n_cohorts):
        found = occupation(drawn(seed, 150, late=late, whole_days=False), np.array([day]))
        spread = found.errors()
        points.append((found.probability[0], found.days[0]))
        errors.append((spread[0][0], spread[2][0]))
    truth = np.stack([probability, days])
    off, error = np.array(points) - truth, np.array(errors)
    covered = (np.abs(off) <= 1.96 * error).mean(axis=0)
    assert (np.abs(covered - 0.95) <= 4 * np.sqrt(0.95 * 0.05 / n_cohorts) + 0.005).all(), covered
    assert (np.abs(off.mean(axis=0)) <= 4 * off.std(axis=0) / np.sqrt(n_cohorts)).all(), off.mean(axis=0)
