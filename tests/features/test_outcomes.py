"""Outcomes: rows taken, joined and counted; an endpoint applied to events from a landmark."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.schema import CohortCard, Endpoint, EventRule

CARD = CohortCard(title="t", citation="none", licence="CC0-1.0", provenance="simulated", variables={})
INFECTION = Endpoint(
    name="severe_infection",
    event=EventRule(name="infection", min_grade=3),
    competing=(EventRule(name="death"), EventRule(name="relapse")),
    horizons_days=(365.0,),
)
Event = tuple[str, float, str, float]
"""Patient, day, event, grade (NaN where there is none)."""


def cohort(follow_up: dict[str, float], events: list[Event], entry: dict[str, float | None] | None = None) -> Cohort:
    patients = pd.DataFrame({"patient_id": list(follow_up), "follow_up_days": list(follow_up.values())})
    if entry is not None:
        patients["entry_day"] = [entry.get(name) for name in follow_up]
        patients["entry_day"] = patients["entry_day"].astype(float)
    table = pd.DataFrame(events, columns=["patient_id", "day", "event", "grade"]).astype({"day": float, "grade": float})
    empty = pd.DataFrame()
    return Cohort(Path("nowhere"), CARD, patients, table, empty, empty, empty, None, "0" * 64)


def of_one(
    events: list[tuple[float, str, float]], landmark: float = 0.0, follow_up: float = 500.0
) -> tuple[float, int] | None:
    """Duration and cause of patient A, beside a patient who is always at risk; None when A is not at risk."""
    study = cohort({"A": follow_up, "B": 999.0}, [("A", *event) for event in events])
    rows, outcomes = outcomes_at(study, INFECTION, landmark)
    assert rows[-1] == 1
    return (float(outcomes.duration_days[0]), int(outcomes.cause[0])) if rows[0] == 0 else None


NO_GRADE = math.nan


@pytest.mark.parametrize(
    ("events", "landmark", "expected"),
    [
        pytest.param([], 0, (500, 0), id="censored"),
        pytest.param([(40, "infection", 3)], 0, (40, 1), id="event of interest"),
        pytest.param([(40, "infection", 5)], 0, (40, 1), id="higher grade"),
        pytest.param([(40, "infection", 2)], 0, (500, 0), id="too low a grade"),
        pytest.param([(40, "infection", NO_GRADE)], 0, (500, 0), id="no grade where one is asked for"),
        pytest.param([(40, "death", NO_GRADE)], 0, (40, 2), id="no grade where none is asked for"),
        pytest.param([(60, "relapse", 1), (40, "death", 1)], 0, (40, 2), id="first of two competing"),
        pytest.param([(60, "infection", 3), (40, "infection", 4)], 0, (40, 1), id="first of two of interest"),
        pytest.param([(40, "infection", 2), (60, "infection", 3)], 0, (60, 1), id="first of sufficient grade"),
        pytest.param([(40, "death", 5), (40, "infection", 4)], 0, (40, 1), id="tie: of interest before competing"),
        pytest.param([(40, "relapse", 1), (40, "death", 5)], 0, (40, 2), id="tie: competing in the order named"),
        pytest.param([(40, "icans", 4)], 0, (500, 0), id="event of no rule"),
        pytest.param([(40, "infection", 3)], 30, (10, 1), id="counted from the landmark"),
        pytest.param([(30, "infection", 3)], 30, None, id="on the landmark day"),
        pytest.param([(29, "relapse", 1)], 30, None, id="competing before the landmark"),
        pytest.param([(29, "infection", 2)], 30, (470, 0), id="low grade before the landmark"),
        pytest.param([(29, "infection", 3), (60, "infection", 3)], 30, None, id="the first counts, not the next"),
        pytest.param([], 500, None, id="follow-up ends on the landmark"),
        pytest.param([(500, "infection", 3)], 0, (500, 1), id="on the last day of follow-up"),
        pytest.param([(501, "infection", 3)], 0, (500, 0), id="after follow-up: not observed"),
        pytest.param([(0.5, "infection", 3)], 0, (0.5, 1), id="half a day"),
    ],
)
def test_endpoint_of_one_patient(
    events: list[tuple[float, str, float]], landmark: float, expected: tuple[float, int] | None
) -> None:
    assert of_one(events, landmark) == expected


def slow(study: Cohort, landmark: float) -> dict[int, tuple[float, int]]:
    """Row by row, straight from the words of the endpoint."""
    found = {}
    for row, patient in enumerate(study.patients.itertuples()):
        own = study.events[study.events["patient_id"] == patient.patient_id]
        entry = getattr(patient, "entry_day", 0.0)
        begin = landmark if math.isnan(entry) else max(landmark, entry)
        day, cause = math.inf, 0
        for number, rule in enumerate((INFECTION.event, *INFECTION.competing), start=1):
            for event in own.itertuples():
                graded = rule.min_grade is None or event.grade >= rule.min_grade
                if event.event == rule.name and graded and event.day < day:
                    day, cause = event.day, number
        last = min(day, patient.follow_up_days)
        if last > begin:
            found[row] = (last - landmark, cause if day <= patient.follow_up_days else 0)
    return found


@given(
    follow_up=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    entry=st.none() | st.lists(st.none() | st.integers(0, 8), min_size=4, max_size=4),
    events=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(-2, 14),
            st.sampled_from(["infection", "death", "relapse", "icans"]),
            st.sampled_from([math.nan, 2.0, 3.0]),
        ),
        max_size=10,
    ),
    landmark=st.integers(0, 6),
)
def test_endpoint_equals_its_words(
    follow_up: list[int],
    entry: list[int | None] | None,
    events: list[tuple[int, int, str, float]],
    landmark: int,
) -> None:
    days = {f"p{i}": float(day) for i, day in enumerate(follow_up)} | {"always": 99.0}
    own = [(f"p{i}", float(day), name, grade) for i, day, name, grade in events if i < len(follow_up)]
    entries = None if entry is None else {f"p{i}": day for i, day in enumerate(entry)}
    study = cohort(days, own, entries)
    rows, outcomes = outcomes_at(study, INFECTION, landmark)
    pairs = zip(outcomes.duration_days.tolist(), outcomes.cause.tolist(), strict=True)
    assert dict(zip(rows.tolist(), pairs, strict=True)) == slow(study, landmark)
    assert (outcomes.duration_days > 0).all()
    if outcomes.entry_days is not None:
        assert (outcomes.entry_days < outcomes.duration_days).all()
        assert (outcomes.entry_days > 0).any()


def test_late_entry_truncates_from_the_left() -> None:
    follow_up = dict.fromkeys("ABCDE", 100.0)
    entry = {"A": 0.0, "B": 40.0, "C": None, "D": 40.0, "E": 100.0}
    study = cohort(follow_up, [("B", 60, "infection", 3), ("D", 40, "infection", 3)], entry)
    rows, outcomes = outcomes_at(study, INFECTION, 30.0)
    assert rows.tolist() == [0, 1, 2], "D had its event by its entry, E left on it"
    assert outcomes.entry_days is not None
    assert outcomes.entry_days.tolist() == [0.0, 10.0, 0.0]
    assert outcomes.duration_days.tolist() == [70.0, 30.0, 70.0]
    assert outcomes_at(study, INFECTION, 45.0)[1].entry_days is None, "all had entered by then"


def test_nobody_at_risk_is_refused() -> None:
    study = cohort({"A": 20.0, "B": 100.0}, [("B", 5, "death", math.nan)])
    with pytest.raises(SequelaError, match=r"severe_infection: no patient is at risk at landmark day 30; choose"):
        outcomes_at(study, INFECTION, 30.0)


def test_no_events_at_all() -> None:
    rows, outcomes = outcomes_at(cohort({"A": 20.0, "B": 100.0}, []), INFECTION, 0.0)
    assert rows.tolist() == [0, 1]
    assert outcomes.causes == ("infection", "death", "relapse")
    assert outcomes.counts() == {"censored": 2, "infection": 0, "death": 0, "relapse": 0}


def test_rows_are_taken_in_order_and_counted() -> None:
    outcomes = Outcomes(np.array([5.0, 6.0, 7.0]), np.array([0, 2, 1]), ("infection", "death"), np.array([0.0, 1, 2]))
    taken = outcomes.take(np.array([2, 1, 1]))
    assert len(taken) == 3
    assert taken.duration_days.tolist() == [7.0, 6.0, 6.0]
    assert taken.cause.tolist() == [1, 2, 2]
    assert taken.entry_days is not None
    assert taken.entry_days.tolist() == [2.0, 1.0, 1.0]
    assert taken.counts() == {"censored": 0, "infection": 1, "death": 2}
    assert Outcomes(np.array([1.0]), np.array([0]), ("infection",)).take(np.array([0])).entry_days is None


def test_parts_are_joined() -> None:
    early = Outcomes(np.array([5.0]), np.array([1]), ("infection",))
    late = Outcomes(np.array([9.0]), np.array([0]), ("infection",), np.array([3.0]))
    both = Outcomes.concatenate([early, late])
    assert both.duration_days.tolist() == [5.0, 9.0]
    assert both.cause.tolist() == [1, 0]
    assert both.entry_days is not None
    assert both.entry_days.tolist() == [0.0, 3.0]
    assert Outcomes.concatenate([early, early]).entry_days is None


def between(rows: list[tuple[str, float, str, float, float]], follow_up: dict[str, float], **words: object) -> Cohort:
    """A cohort whose events have, last, the day on which the patient was known to be free of them."""
    study = cohort(follow_up, [row[:4] for row in rows], **words)  # type: ignore[arg-type]
    return replace(study, events=study.events.assign(after_day=[float(row[4]) for row in rows]))


def after_of(study: Cohort, landmark: float) -> list[float] | None:
    after = outcomes_at(study, INFECTION, landmark)[1].after_days
    return None if after is None else after.tolist()


def test_an_event_between_two_days_is_counted_from_the_landmark() -> None:
    rows = [("A", 180, "infection", 3, 90), ("B", 60, "death", NO_GRADE, NO_GRADE), ("C", 200, "relapse", 1, 20)]
    study = between(rows, dict.fromkeys("ABCD", 500.0))
    at_risk, outcomes = outcomes_at(study, INFECTION, 30.0)
    assert at_risk.tolist() == [0, 1, 2, 3]
    assert outcomes.duration_days.tolist() == [150.0, 30.0, 170.0, 470.0], "by the day it was seen"
    assert outcomes.cause.tolist() == [1, 2, 3, 0]
    np.testing.assert_array_equal(outcomes.after_days, [60.0, math.nan, 0.0, math.nan])
    assert outcomes.in_interval.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("rows", "landmark", "expected"),
    [
        pytest.param([("A", 180, "infection", 3, -20)], 0, [0, NO_GRADE], id="free before the infusion"),
        pytest.param([("A", 180, "infection", 3, 90)], 120, [0, NO_GRADE], id="across the landmark: begins there"),
        pytest.param([("A", 180, "infection", 2, 90)], 0, None, id="an event that does not count"),
        pytest.param([("A", 180, "icans", 3, 90)], 0, None, id="an event of no rule"),
        pytest.param([("A", 501, "infection", 3, 90)], 0, None, id="seen after follow-up: not observed"),
        pytest.param([("A", 180, "infection", 3, 90), ("A", 170, "death", 5, NO_GRADE)], 0, None, id="seen too late"),
        pytest.param(
            [("A", 90, "infection", 3, 80), ("A", 180, "infection", 4, 90)], 0, [80, NO_GRADE], id="the first counts"
        ),
        pytest.param(
            [("A", 90, "infection", 3, 10), ("A", 90, "infection", 4, 30)], 0, [30, NO_GRADE], id="what is known best"
        ),
        pytest.param(
            [("A", 90, "infection", 3, 10), ("A", 90, "infection", 4, NO_GRADE)], 0, None, id="one knows the day"
        ),
    ],
)
def test_intervals_of_one_patient(
    rows: list[tuple[str, float, str, float, float]], landmark: float, expected: list[float] | None
) -> None:
    found = after_of(between(rows, {"A": 500.0, "B": 999.0}), landmark)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        np.testing.assert_array_equal(found, expected)


def test_an_interval_across_entry_begins_there() -> None:
    rows = [("A", 180, "infection", 3, 20), ("B", 180, "infection", 3, 70)]
    study = between(rows, dict.fromkeys("AB", 500.0), entry={"A": 60.0, "B": 60.0})
    assert after_of(study, 30.0) == [30.0, 40.0]


@given(st.data())
def test_intervals_are_taken_and_joined_with_their_rows(data: st.DataObject) -> None:
    def part() -> Outcomes:
        n = data.draw(st.integers(1, 5))
        duration = np.array(data.draw(st.lists(st.integers(1, 90), min_size=n, max_size=n)), dtype=float)
        share = data.draw(st.none() | st.lists(st.sampled_from([math.nan, 0.0, 0.5]), min_size=n, max_size=n))
        return Outcomes(
            duration, np.ones(n, dtype=np.int64), ("infection",), None, None if share is None else share * duration
        )

    parts = [part(), part()]
    both = Outcomes.concatenate(parts)
    each = [np.full(len(one), math.nan) if one.after_days is None else one.after_days for one in parts]
    expected = np.concatenate(each)
    assert (both.after_days is None) == np.isnan(expected).all()
    assert both.in_interval.tolist() == (~np.isnan(expected)).tolist()
    rows = np.array(data.draw(st.lists(st.integers(0, len(both) - 1), max_size=6)), dtype=np.int64)
    taken = both.take(rows)
    if both.after_days is not None:
        np.testing.assert_array_equal(taken.after_days, expected[rows])
    middle = both.in_the_middle()
    assert middle.after_days is None
    np.testing.assert_array_equal(
        middle.duration_days,
        np.where(np.isnan(expected), both.duration_days, (both.duration_days + np.nan_to_num(expected)) / 2),
    )
