"""Counts of prior events against a slow, obvious version, and on changed futures."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import SequelaError
from features.history import history_columns
from features.patients import Events, FloatArray

NAMES = ("infection", "transfusion", "steroids")
WINDOWS = (3.0, 0.5)
Record = tuple[int, int, float, float]
"""Row, event, day, grade."""
days = st.integers(-4, 8).map(float) | st.floats(-4, 8)
grades = st.sampled_from([math.nan, 1.0, 2.0, 3.0, 4.0, 5.0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[float], list[Record]]:
    """Landmark days of one to four rows, and up to twenty events."""
    landmarks = draw(st.lists(days, min_size=1, max_size=4))
    record = st.tuples(st.integers(0, len(landmarks) - 1), st.integers(0, 2), days, grades)
    return landmarks, draw(st.lists(record, max_size=20))


def events(n_rows: int, rows: list[Record]) -> Events:
    row, event, day, grade = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 4
    return Events.from_columns(
        n_rows, row.astype(np.int64), NAMES, event.astype(np.int64), day.astype(float), grade.astype(float)
    )


def columns(landmarks: list[float], rows: list[Record]) -> dict[str, FloatArray]:
    return history_columns(np.array(landmarks), events(len(landmarks), rows), NAMES, WINDOWS)


def slow(landmark: float, happened: list[tuple[float, float]]) -> dict[str, float]:
    """History of one row and one kind of event from its (day, grade) pairs, by definition."""
    known = [(day, grade) for day, grade in happened if day <= landmark]
    graded = [grade for _, grade in known if not math.isnan(grade)]
    return {
        "any": 1.0 if known else 0.0,
        "count": len(known),
        **{f"count_{window:g}d": sum(day > landmark - window for day, _ in known) for window in WINDOWS},
        "since": landmark - max(day for day, _ in known) if known else math.nan,
        "grade": 0.0 if not known else max(graded, default=math.nan),
    }


def assert_same_bits(first: dict[str, FloatArray], second: dict[str, FloatArray]) -> None:
    assert list(first) == list(second)
    for name, column in first.items():
        assert column.tobytes() == second[name].tobytes(), name


@given(cases())
def test_columns_equal_the_slow_version(case: tuple[list[float], list[Record]]) -> None:
    landmarks, rows = case
    found = columns(landmarks, rows)
    assert list(found) == [f"{name}:{what}" for name in NAMES for what in slow(0.0, [])]
    for e, name in enumerate(NAMES):
        for i, landmark in enumerate(landmarks):
            of_row = [(day, grade) for row, event, day, grade in rows if (row, event) == (i, e)]
            for what, expected in slow(landmark, of_row).items():
                np.testing.assert_array_equal(found[f"{name}:{what}"][i], expected, err_msg=f"{name}:{what}")


@given(cases(), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(1e-3, 1e3), grades), max_size=20))
def test_nothing_after_the_landmark_enters(case: tuple[list[float], list[Record]], future: list[Record]) -> None:
    """Whatever came after each row's landmark is deleted, and something else put there."""
    landmarks, rows = case
    past = [record for record in rows if record[2] <= landmarks[record[0]]]
    other = [(r, e, landmarks[r] + later, grade) for r, e, later, grade in future if r < len(landmarks)]
    assert_same_bits(columns(landmarks, rows), columns(landmarks, past))
    assert_same_bits(columns(landmarks, rows), columns(landmarks, past + other))


@given(cases(), st.randoms())
def test_columns_do_not_depend_on_the_order_of_events(case: tuple[list[float], list[Record]], random: Random) -> None:
    landmarks, rows = case
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert_same_bits(columns(landmarks, rows), columns(landmarks, shuffled))


@given(cases(), st.integers(0, 3))
def test_a_row_is_the_same_alone(case: tuple[list[float], list[Record]], which: int) -> None:
    landmarks, rows = case
    i = which % len(landmarks)
    alone = events(len(landmarks), rows).take(np.array([i]))
    together = {name: column[i : i + 1] for name, column in columns(landmarks, rows).items()}
    assert_same_bits(history_columns(np.array([landmarks[i]]), alone, NAMES, WINDOWS), together)


def test_worked_by_hand() -> None:
    """Two infections in the last 30 days, of three; one on the landmark day itself, one a moment after it."""
    rows: list[Record] = [(0, 0, -10, 4), (0, 0, 61, 2), (0, 0, 90, math.nan), (0, 0, 90.001, 5), (0, 1, 60, math.nan)]
    found = history_columns(np.array([90.0, 90.0]), events(2, rows), ["infection", "transfusion"])
    assert {name: column[0] for name, column in found.items() if name.startswith("infection")} == {
        "infection:any": 1.0,
        "infection:count": 3.0,
        "infection:count_30d": 2.0,
        "infection:since": 0.0,
        "infection:grade": 4.0,
    }
    assert found["transfusion:count_30d"][0] == 0.0  # day 60 is no longer within the 30 days that end with day 90
    assert found["transfusion:since"][0] == 30.0
    assert np.isnan(found["transfusion:grade"][0])  # it happened, but was not graded
    assert [column[1] for name, column in found.items() if name.endswith((":any", ":count", ":grade"))] == [0.0] * 6
    assert np.isnan(found["infection:since"][1])


def test_a_kind_of_event_that_nobody_had_has_not_happened() -> None:
    for known in (Events.empty(2), events(2, [(0, 0, 1.0, 3.0)])):
        found = history_columns(np.array([3.0, 4.0]), known, ["relapse"])
        for what in ("any", "count", "count_30d", "grade"):
            assert found[f"relapse:{what}"].tolist() == [0.0, 0.0]
        assert np.isnan(found["relapse:since"]).all()


def test_nothing_asked_or_nobody_there() -> None:
    assert history_columns(np.array([3.0]), events(1, [(0, 0, 1.0, 3.0)]), []) == {}
    nobody = history_columns(np.zeros(0), Events.empty(0), NAMES)
    assert {column.shape for column in nobody.values()} == {(0,)}


@pytest.mark.parametrize("window", [0.0, -30.0, math.nan, math.inf])
def test_windows_are_positive_numbers_of_days(window: float) -> None:
    with pytest.raises(SequelaError, match="positive number of days"):
        history_columns(np.array([3.0]), Events.empty(1), NAMES, [30.0, window])
