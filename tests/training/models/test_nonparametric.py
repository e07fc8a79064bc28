"""The Aalen–Johansen estimate and the censoring curve: identities, a slow definition, scikit-survival, R."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sksurv.nonparametric import cumulative_incidence_competing_risks

from features.outcomes import Outcomes
from training.models.nonparametric import aalen_johansen, censoring_survival, kaplan_meier, risk_sets

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "evaluation.json"
CAUSES = ("infection", "death", "relapse")


@st.composite
def outcomes(draw: st.DrawFn, *, n_causes: int = 3, late: bool = False) -> Outcomes:
    rows = st.tuples(st.integers(1, 8), st.integers(0, n_causes), st.floats(0, 0.99))
    duration, cause, share = zip(*draw(st.lists(rows, min_size=1, max_size=25)), strict=True)
    days = np.array(duration, dtype=np.float64)
    entry = np.floor(np.array(share) * days) if late else None
    return Outcomes(days, np.array(cause), CAUSES[:n_causes], entry)


def slow_aalen_johansen(given: Outcomes, day: float) -> tuple[list[float], float]:
    """The definition, one day and one row at a time."""
    incidence, free = [0.0] * len(given.causes), 1.0
    entry = np.zeros(len(given)) if given.entry_days is None else given.entry_days
    for time in sorted(set(given.duration_days)):
        if time > day:
            break
        at_risk = sum(1 for d, e in zip(given.duration_days, entry, strict=True) if e < time <= d)
        happened = [
            sum(1 for d, c in zip(given.duration_days, given.cause, strict=True) if d == time and c == k + 1)
            for k in range(len(given.causes))
        ]
        incidence = [f + free * n / at_risk for f, n in zip(incidence, happened, strict=True)]
        free *= 1 - sum(happened) / at_risk
    return incidence, free


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(GOLDEN.read_text())["simulated"]
    return content


def golden_outcomes(golden: dict[str, Any], *, late: bool = False) -> Outcomes:
    entry = np.array(golden["entry"], dtype=np.float64) if late else None
    return Outcomes(np.array(golden["time"], dtype=np.float64), np.array(golden["event"]), CAUSES[:2], entry)


@given(outcomes(late=True), st.integers(0, 9))
def test_equals_the_definition_with_ties_and_delayed_entry(given: Outcomes, day: int) -> None:
    curve = aalen_johansen(given)
    incidence, free = slow_aalen_johansen(given, day)
    np.testing.assert_allclose(curve.at(np.array([float(day)]))[:, 0], incidence, atol=1e-12)
    before = curve.event_free[curve.times_days <= day]
    assert (before[-1] if len(before) else 1.0) == pytest.approx(free, abs=1e-12)


@given(outcomes())
def test_causes_and_event_free_sum_to_one(given: Outcomes) -> None:
    curve = aalen_johansen(given)
    np.testing.assert_allclose(curve.incidence.sum(axis=0) + curve.event_free, 1.0, atol=1e-12)
    assert (np.diff(curve.incidence, axis=-1) >= 0).all()


@given(outcomes(n_causes=1))
def test_single_cause_is_one_minus_kaplan_meier(given: Outcomes) -> None:
    np.testing.assert_allclose(aalen_johansen(given).incidence[0], 1 - kaplan_meier(risk_sets(given)), atol=1e-12)


@given(outcomes(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(given: Outcomes, random: Any) -> None:
    order = list(range(len(given)))
    random.shuffle(order)
    shuffled = given.take(np.array(order))
    np.testing.assert_allclose(aalen_johansen(shuffled).incidence, aalen_johansen(given).incidence, atol=1e-12)
    np.testing.assert_allclose(censoring_survival(shuffled).survival, censoring_survival(given).survival, atol=1e-12)


@given(outcomes())
def test_survival_times_censoring_survival_is_the_share_at_risk(given: Outcomes) -> None:
    sets = risk_sets(given)
    event_free = np.concatenate([[1.0], kaplan_meier(sets)[:-1]])
    uncensored = censoring_survival(given).before(sets.times_days)
    np.testing.assert_allclose(event_free * uncensored, sets.at_risk / len(given), atol=1e-12)


@given(outcomes(late=True), st.data())
def test_weights_repeat_rows(given: Outcomes, data: st.DataObject) -> None:
    draws = data.draw(st.lists(st.lists(st.integers(0, 3), min_size=len(given), max_size=len(given)), min_size=2))
    weights = np.array(draws, dtype=np.float64)
    weights[:, 0] = 1
    days = np.arange(0.0, 9.0)
    together = aalen_johansen(given, weights).at(days)
    censoring = censoring_survival(given, weights)
    for one, weight in enumerate(weights):
        repeated = given.take(np.repeat(np.arange(len(given)), weight.astype(int)))
        np.testing.assert_allclose(together[one], aalen_johansen(repeated).at(days), atol=1e-12)
        np.testing.assert_allclose(censoring.at(days)[one], censoring_survival(repeated).at(days), atol=1e-12)


@given(outcomes())
def test_equals_scikit_survival(given: Outcomes) -> None:
    given = Outcomes(  # scikit-survival wants every cause to occur
        np.append(given.duration_days, [9.0, 9.0, 9.0]), np.append(given.cause, [1, 2, 3]), given.causes
    )
    times, incidence = cumulative_incidence_competing_risks(given.cause, given.duration_days)
    np.testing.assert_allclose(aalen_johansen(given).at(times), incidence[1:], atol=1e-12)


def test_left_limit_and_value_differ_only_at_a_censoring() -> None:
    given = Outcomes(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1, 0, 1, 0]), CAUSES[:1])
    curve = censoring_survival(given)
    days = np.array([0.5, 1.0, 2.0, 2.5, 3.0, 4.0])
    # Day 2: two of three still there, the event first, so one of two is censored.
    np.testing.assert_allclose(curve.at(days), [1, 1, 0.5, 0.5, 0, 0])
    np.testing.assert_allclose(curve.before(days), [1, 1, 1, 0.5, 0.5, 0])


def test_rounding_of_weights_leaves_no_one_behind() -> None:
    given = Outcomes(np.array([2.0, 2.0, 2.0]), np.array([1, 0, 0]), CAUSES[:1])
    weights = np.full(3, 0.1)
    sets = risk_sets(given, weights)
    assert sets.at_risk[0] - sets.events[0, 0] != sets.censored[0], "the example must leave rounding behind"
    assert censoring_survival(given, weights).survival[0] == 0


def test_incidence_before_first_and_after_last_step() -> None:
    given = Outcomes(np.array([2.0, 4.0]), np.array([1, 0]), CAUSES[:1])
    np.testing.assert_allclose(aalen_johansen(given).at(np.array([0.0, 1.9, 2.0, 99.0])), [[0, 0, 0.5, 0.5]])


def test_prodlim_aalen_johansen_with_ties(golden: dict[str, Any]) -> None:
    curve = aalen_johansen(golden_outcomes(golden))
    np.testing.assert_allclose(
        curve.at(np.array(golden["aalen_johansen"]["times"])), golden["aalen_johansen"]["incidence"], atol=1e-10
    )


def test_prodlim_reverse_kaplan_meier_with_ties(golden: dict[str, Any]) -> None:
    curve = censoring_survival(golden_outcomes(golden))
    stored = golden["reverse_kaplan_meier"]
    np.testing.assert_allclose(curve.at(np.array(stored["times"])), stored["survival"], atol=1e-10)


def test_cmprsk_cuminc(golden: dict[str, Any]) -> None:
    found = aalen_johansen(golden_outcomes(golden)).at(np.array(golden["times"]))
    np.testing.assert_allclose(found, golden["cuminc"], atol=1e-10)


def test_survfit_with_delayed_entry(golden: dict[str, Any]) -> None:
    stored = golden["delayed_entry"]
    found = aalen_johansen(golden_outcomes(golden, late=True)).at(np.array(stored["times"], dtype=np.float64))
    np.testing.assert_allclose(found, stored["incidence"], atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"duration_days": np.array([])}, "at least one row", id="no rows"),
        pytest.param({"cause": np.array([0, 2])}, "0 \\(censored\\) to 1", id="unknown cause"),
        pytest.param({"entry_days": np.array([0.0, 2.0])}, "entry_days must be less", id="leaves before it enters"),
    ],
)
def test_refuses(change: dict[str, NDArray[Any]], message: str) -> None:
    fields: dict[str, Any] = {"duration_days": np.array([1.0, 2.0]), "cause": np.array([0, 1]), "entry_days": None}
    with pytest.raises(ValueError, match=message):
        aalen_johansen(Outcomes(**(fields | change), causes=CAUSES[:1]))


def test_refuses_weights_of_another_length() -> None:
    with pytest.raises(ValueError, match="one weight for each"):
        aalen_johansen(Outcomes(np.array([1.0]), np.array([1]), CAUSES[:1]), np.ones((3, 2)))
