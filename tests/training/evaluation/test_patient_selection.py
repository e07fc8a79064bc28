"""Selection of patients: against counting by hand, against R, and with intervals that cover."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.evaluation.intervals import Interval
from training.evaluation.patient_selection import Selected, around, selections

Draw = Callable[..., Any]
HORIZON = 20.0
NAMES = ("infection", "death")


def select(
    risk: Any, outcomes: Outcomes, thresholds: Any, n_bootstrap: int = 0, patients: Any = None, **given: Any
) -> list[Selected]:
    rng = np.random.default_rng(given.get("seed", 0))
    ids = np.arange(len(outcomes)) if patients is None else patients
    cause, horizon = given.get("cause", 1), given.get("horizon", HORIZON)
    return selections(risk, outcomes, cause, horizon, thresholds, ids, rng=rng, n_bootstrap=n_bootstrap)


def intervals(one: Selected) -> dict[str, Interval]:
    found = {field.name: getattr(one, field.name) for field in fields(one)}
    return {name: value for name, value in found.items() if isinstance(value, Interval)}


def share(of: Any, among: Any) -> float:
    return (of & among).sum() / among.sum() if among.any() else np.nan


@st.composite
def complete(draw: Any) -> tuple[Outcomes, Any]:
    """Outcomes without censoring, and risks with ties."""
    n = draw(st.integers(2, 40))
    days = draw(st.lists(st.integers(1, 40), min_size=n, max_size=n))
    cause = draw(st.lists(st.integers(1, 2), min_size=n, max_size=n))
    risk = draw(st.lists(st.sampled_from([0.05, 0.1, 0.2, 0.25, 0.4, 0.7]), min_size=n, max_size=n))
    return Outcomes(np.array(days, dtype=float), np.array(cause), NAMES), np.array(risk)


@given(study=complete(), threshold=st.sampled_from([0.01, 0.1, 0.25, 0.3, 0.9]))
@settings(max_examples=150, deadline=None)
def test_without_censoring_everything_is_a_count(study: tuple[Outcomes, Any], threshold: float) -> None:
    outcomes, risk = study
    had, chosen = (outcomes.cause == 1) & (outcomes.duration_days <= HORIZON), risk >= threshold
    (found,) = select(risk, outcomes, [threshold])
    assert (found.n_rows, found.n_selected, found.n_events) == (len(risk), chosen.sum(), (had & chosen).sum())
    expected = {
        "share": chosen.mean(),
        "ppv": share(had, chosen),
        "risk_below": share(had, ~chosen),
        "sensitivity": share(chosen, had),
        "specificity": share(~chosen, ~had),
    }
    assert {name: value.point for name, value in intervals(found).items()} == pytest.approx(expected, nan_ok=True)
    assert found.npv.point == pytest.approx(share(~had, ~chosen), nan_ok=True)
    assert all(np.isnan([value.low, value.high]).all() for value in intervals(found).values()), "no resamples"
    if (had & chosen).any():
        assert found.number_needed_to_watch.point == pytest.approx(chosen.sum() / (had & chosen).sum())


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_higher_thresholds_select_fewer_and_intervals_hold_their_point(draw: Draw, seed: int) -> None:
    outcomes, _, truth = draw(seed, 150)
    found = select(truth[:, 0, 2], outcomes, [0.3, 0.45, 0.5, 0.55, 0.7], n_bootstrap=60, seed=seed)
    known = [one for one in found if np.isfinite(one.sensitivity.point)]
    for name, falls in (("share", True), ("sensitivity", True), ("specificity", False)):
        values = [getattr(one, name).point for one in known]
        assert values == sorted(values, reverse=falls), name
    for one in found:
        assert [*intervals(one)] == ["share", "ppv", "risk_below", "sensitivity", "specificity"]
        for name, value in intervals(one).items():
            large = min(one.n_selected, one.n_rows - one.n_selected) >= 30 and one.n_events >= 10
            if large and 0 < value.point < 1:
                assert value.low <= value.point <= value.high, name
            assert np.isnan(value.point) or 0 <= value.point <= 1
            assert 0 < value.point < 1 or np.isnan([value.low, value.high]).all(), "certainty is not known"


def test_it_agrees_with_r(golden: dict[str, Any]) -> None:
    """riskRegression's ROC curve and survival's incidence within groups, with censoring, competing causes and ties."""
    study = golden["simulated"]
    outcomes = Outcomes(np.array(study["time"], dtype=float), np.array(study["event"]), ("one", "two"))
    path = Path(__file__).resolve().parents[2] / "golden" / "patient_selection.json"
    stored = json.loads(path.read_text("utf-8"))["selections"]
    assert {row["cause"] for row in stored} == {1, 2}
    assert len(stored) >= 8
    for row in stored:
        risk = np.array(study["risks"][row["cause"] - 1])[:, row["column"]]
        (found,) = select(risk, outcomes, [row["threshold"]], cause=row["cause"], horizon=row["horizon"])
        assert found.n_selected == row["selected"]
        below = np.nan if row["below"] is None else row["below"]
        expected = (row["ppv"], below, row["sensitivity"], row["specificity"])
        points = [value.point for value in (found.ppv, found.risk_below, found.sensitivity, found.specificity)]
        np.testing.assert_allclose(points, expected, atol=1e-12, err_msg=str(row))


def test_a_competing_event_is_a_control_and_no_censoring() -> None:
    outcomes = Outcomes(np.array([1.0, 2.0, 3.0, 30.0]), np.array([2, 2, 1, 0]), NAMES)
    (found,) = select(np.array([0.5, 0.1, 0.5, 0.5]), outcomes, [0.5])
    assert found.ppv.point == pytest.approx(1 / 3)
    assert (found.sensitivity.point, found.specificity.point) == (1.0, pytest.approx(1 / 3))


def test_numbers_needed_follow_from_the_risk_of_those_selected(draw: Draw) -> None:
    outcomes, _, truth = draw(4, 300)
    (found,) = select(truth[:, 0, 2], outcomes, [0.5], n_bootstrap=100)
    watch, treat = found.number_needed_to_watch, found.number_needed_to_treat(0.25)
    assert watch == Interval(1 / found.ppv.point, 1 / found.ppv.high, 1 / found.ppv.low)
    assert treat == Interval(4 * watch.point, 4 * watch.low, 4 * watch.high)
    assert found.npv.low < found.npv.point < found.npv.high
    assert found.number_needed_to_treat(1.0) == watch
    for wrong in (0.0, -0.1, 1.01, np.nan):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            found.number_needed_to_treat(wrong)


def test_where_nobody_meets_the_event_no_number_is_enough() -> None:
    outcomes = Outcomes(np.full(40, 30.0), np.zeros(40, dtype=np.int64), NAMES)
    (found,) = select(np.linspace(0, 1, 40), outcomes, [0.5], n_bootstrap=50)
    assert (found.ppv.point, found.number_needed_to_watch.point) == (0.0, np.inf)
    assert np.isnan([found.ppv.low, found.ppv.high, found.number_needed_to_watch.high]).all()
    assert np.isnan(found.sensitivity.point)


def test_those_lost_before_the_horizon_tell_nothing() -> None:
    outcomes = Outcomes(np.array([5.0, 6.0, 30.0, 30.0]), np.array([1, 0, 0, 0]), NAMES)
    high, all_of_them = select(np.array([0.9, 0.9, 0.2, 0.2]), outcomes, [0.5, 0.1])
    assert np.isnan(high.ppv.point)
    assert np.isnan(high.number_needed_to_watch.point)
    assert high.risk_below.point == 0.0
    assert np.isfinite(all_of_them.ppv.point)
    assert np.isnan(all_of_them.risk_below.point)
    ended = Outcomes(np.array([5.0, 6.0]), np.array([1, 0]), NAMES)
    (found,) = select(np.array([0.9, 0.2]), ended, [0.5])
    assert np.isnan([found.sensitivity.point, found.specificity.point]).all()


def test_intervals_cover_what_is_true_of_endless_patients(draw: Draw) -> None:
    level, covered = 0.55, dict.fromkeys(("share", "ppv", "risk_below", "sensitivity", "specificity"), 0)
    risk = draw(9, 200_000, tied=False)[2][:, 0, 2]
    chosen = risk >= level
    truth = {
        "share": chosen.mean(),
        "ppv": risk[chosen].mean(),
        "risk_below": risk[~chosen].mean(),
        "sensitivity": risk[chosen].sum() / risk.sum(),
        "specificity": (1 - risk)[~chosen].sum() / (1 - risk).sum(),
    }
    for seed in range(100):
        outcomes, _, incidence = draw(seed, 200, tied=False)
        (found,) = select(incidence[:, 0, 2], outcomes, [level], n_bootstrap=100, seed=seed)
        for name, value in intervals(found).items():
            covered[name] += value.low <= truth[name] <= value.high
    assert min(covered.values()) >= 85, covered  # 95 expected; 85 is 4.6 standard errors below


def test_rows_of_a_patient_are_drawn_together(draw: Draw) -> None:
    outcomes, _, incidence = draw(1, 100)
    rows = np.tile(np.arange(100), 4)
    grouped, ignored = (
        select(incidence[rows, 0, 2], outcomes.take(rows), [0.5], n_bootstrap=200, patients=ids)[0].ppv
        for ids in (rows, np.arange(400))
    )
    assert grouped.high - grouped.low > 1.6 * (ignored.high - ignored.low)  # 2 in expectation


def test_thresholds_around_a_threshold() -> None:
    assert around([0.1]) == (0.05, 0.075, 0.1, 0.125, 0.15)
    assert around([0.1, 0.25]) == (0.05, 0.075, 0.1, 0.125, 0.15, 0.1875, 0.25, 0.3125, 0.375)
    assert around([0.8]) == (0.4, 0.6, 0.8), "none from which nobody can be selected"
    assert around([]) == ()
    outcomes = Outcomes(np.array([5.0, 6.0]), np.array([1, 0]), NAMES)
    assert select(np.array([0.9, 0.2]), outcomes, []) == []


@pytest.mark.parametrize("risk", [np.ones(3), np.array([0.1, np.nan, 0.2, 0.3])], ids=["rows", "nan"])
def test_refuses_risks_that_do_not_fit(risk: Any) -> None:
    outcomes = Outcomes(np.arange(1.0, 5.0), np.ones(4, dtype=np.int64), NAMES)
    with pytest.raises(ValueError, match="one finite risk for each row"):
        select(risk, outcomes, [0.5])


def test_refuses_patients_who_came_late() -> None:
    outcomes = Outcomes(np.arange(1.0, 3.0), np.ones(2, dtype=np.int64), NAMES, np.array([0.0, 0.5]))
    with pytest.raises(SequelaError, match="1 of 2 rows came under observation after the landmark"):
        select(np.array([0.1, 0.9]), outcomes, [0.5])
