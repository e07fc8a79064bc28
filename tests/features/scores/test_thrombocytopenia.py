"""T-ICAHT grades against hand-made courses, and against a slow version written from the table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.patients import FloatArray, Measurements, Patients
from features.scores.thrombocytopenia import early_t_icaht, late_t_icaht, t_icaht_columns
from features.units import UnitError

Course = dict[float, float]
"""Platelets, 10*9/L, by day."""


def course(*spells: tuple[int, float], start: int = 0) -> Course:
    """Daily counts: each spell is a number of days and their count."""
    counts = [count for days, count in spells for _ in range(days)]
    return {float(start + i): count for i, count in enumerate(counts)}


def early(counts: Course, known_until_day: float = math.inf) -> float:
    return early_t_icaht(np.array(list(counts)), np.array(list(counts.values())), known_until_day=known_until_day)


def late(counts: Course, known_until_day: float = math.inf) -> float:
    return late_t_icaht(np.array(list(counts)), np.array(list(counts.values())), known_until_day=known_until_day)


EARLY_COURSES = {
    "50 is not below 50": (course((31, 50)), 0),
    "one day below 50": (course((10, 150), (1, 49.9), (20, 150)), 1),
    "six days": (course((10, 150), (6, 30), (15, 150)), 1),
    "seven days": (course((10, 150), (7, 30), (14, 150)), 2),
    "all days of 20": (course((31, 20)), 2),
    "one day below 20": (course((10, 150), (1, 19.9), (20, 150)), 3),
    "thirteen days": (course((10, 150), (13, 10), (8, 150)), 3),
    "fourteen days": (course((10, 150), (14, 10), (7, 150)), 4),
    "the days are taken together": (course((5, 150), (4, 30), (5, 150), (3, 30), (14, 150)), 2),
    "two days of recovery count": (course((5, 150), (3, 30), (2, 90), (2, 30), (19, 150)), 2),
    "three days of recovery do not": (course((5, 150), (3, 30), (3, 90), (3, 30), (17, 150)), 1),
    "weekly counts cover their week": ({2: 150, 9: 40, 16: 40, 23: 150, 30: 150}, 2),
    "counts of other days do not enter": ({-1.0: 5, **course((31, 150)), 31.0: 5}, 0),
}


@pytest.mark.parametrize(("counts", "grade"), EARLY_COURSES.values(), ids=EARLY_COURSES.keys())
def test_early_grade(counts: Course, grade: float) -> None:
    assert early(counts) == grade


LATE_COURSES = {
    "100 is not below 100": ({40: 100, 50: 100}, 0),
    "below 100 twice": ({40: 99, 50: 99}, 1),
    "50": ({40: 50, 50: 99}, 1),
    "below 50": ({40: 49, 50: 99}, 2),
    "20": ({40: 20, 50: 99}, 2),
    "below 20": ({40: 19, 50: 99}, 3),
    "thirteen days below 20": (course((10, 120), (13, 10), (20, 120), start=31), 3),
    "fourteen days below 20": (course((10, 120), (14, 10), (20, 120), start=31), 4),
    "fourteen days below 20 by weekly counts": ({40: 10, 47: 10, 54: 10, 61: 120}, 4),
    "by counts too far apart": ({40: 10, 50: 10, 60: 10, 61: 120}, 3),
    "transient": ({40: 10, 50: 100}, 0),
    "a single count is no fortnight": ({38: 10}, 3),
    "counts of other days do not enter": ({30: 10, 40: 120, 50: 120, 101: 10}, 0),
}


@pytest.mark.parametrize(("counts", "grade"), LATE_COURSES.values(), ids=LATE_COURSES.keys())
def test_late_grade(counts: Course, grade: float) -> None:
    assert late(counts, 45 if len(counts) == 1 else math.inf) == grade


@pytest.mark.parametrize("counts", [{}, {5: math.nan}, {-1: 30.0, 101: 30.0}], ids=["none", "missing", "other days"])
def test_a_grade_takes_a_count(counts: Course) -> None:
    assert math.isnan(early(counts))
    assert math.isnan(late(counts))


def patients(landmarks: list[float], courses: list[Course]) -> Patients:
    rows = [(i, day, value) for i, counts in enumerate(courses) for day, value in counts.items()]
    row, day, value = (np.array([r[column] for r in rows], dtype=float) for column in range(3))
    series = Measurements.from_columns(
        len(landmarks), row.astype(np.int64), ("plt",), np.zeros(len(rows), dtype=np.int64), day, value
    )
    ids = np.array([f"p{i}" for i in range(len(landmarks))], dtype=object)
    return Patients(ids, np.array(landmarks, dtype=float), {}, series)


def test_columns_convert_units_stop_at_the_landmark_and_at_censoring() -> None:
    counts = {day: 1000 * count for day, count in (course((10, 150), (21, 10)) | {40: 90, 45: 90, 60: 10}).items()}
    seen = patients([15, 31, 50, 70, 70], [counts] * 5)
    columns = t_icaht_columns(seen, "plt", unit="/uL", censor_day=np.array([np.nan, np.nan, np.nan, np.nan, 12]))
    np.testing.assert_array_equal(columns["plt:early_t_icaht"], [3, 4, 4, 4, 3])
    np.testing.assert_array_equal(columns["plt:late_t_icaht"], [np.nan, np.nan, 1, 3, np.nan])


def test_columns_refuse_a_unit_that_is_no_cell_count() -> None:
    with pytest.raises(UnitError, match="g/L"):
        t_icaht_columns(patients([30], [{1: 2.0}]), "plt", unit="g/L")


def slow_days(counts: Course, until: float, first: int, last: int) -> list[float | None]:
    """Count of each day of the window by `until`: the lowest of the day, None where there is none."""
    days: list[float | None] = []
    for today in range(first, last + 1):
        if today > until:
            break
        found = [v for d, v in counts.items() if math.floor(d) == today and d <= until and 0 <= v < math.inf]
        days.append(min(found) if found else None)
    return days


def slow_total(days: list[float | None], threshold: float, *, edges: bool) -> int:
    """Days below the threshold once gaps of up to seven days are filled, with recoveries of one or two days."""
    known = [i for i, v in enumerate(days) if v is not None]
    low = [False] * len(days)
    for i, v in enumerate(days):
        left = max((k for k in known if k <= i), default=None)
        right = min((k for k in known if k >= i), default=None)
        run = (len(days) if right is None else right) - (-1 if left is None else left) - 1
        if v is None and (
            run > 7 or (left is None and right is None) or (not edges and (left is None or right is None))
        ):
            continue
        a, b = (left if left is not None else right), (right if right is not None else left)
        assert a is not None
        assert b is not None
        va, vb = days[a], days[b]
        assert va is not None
        assert vb is not None
        low[i] = (va if a == b else (va * (b - i) + vb * (i - a)) / (b - a)) < threshold
    total = 0
    for i in range(len(low)):
        before = any(low[max(i - k, 0)] for k in range(1, 3) if i - k >= 0)
        spans = any(
            low[i - j] and i + k < len(low) and low[i + k] and j + k - 1 <= 2
            for j in range(1, min(i, 2) + 1)
            for k in range(1, 3)
        )
        total += low[i] or (before and spans)
    return total


def slow_early(counts: Course, until: float) -> float:
    days = slow_days(counts, until, 0, 30)
    if all(v is None for v in days):
        return math.nan
    severe, moderate = slow_total(days, 20, edges=True), slow_total(days, 50, edges=True)
    if severe:
        return 4 if severe >= 14 else 3
    return 2 if moderate >= 7 else 1 if moderate else 0


def slow_late(counts: Course, until: float) -> float:
    days = slow_days(counts, until, 31, 100)
    known = sorted(v for v in days if v is not None)
    if not known:
        return math.nan
    if len(known) > 1 and known[1] >= 100:
        return 0
    if known[0] < 20:
        return 4 if slow_total(days, 20, edges=False) >= 14 else 3
    return 2 if known[0] < 50 else 1 if known[0] < 100 else 0


counts_of = st.sampled_from([0, 5, 19, 20, 30, 49, 50, 70, 99, 100, 250]).map(float)
sparse = st.dictionaries(st.integers(-2, 110).map(float) | st.floats(-2, 110).map(lambda d: round(d, 1)), counts_of)
stretches = st.lists(st.tuples(st.integers(1, 16), counts_of), max_size=12).map(lambda spells: course(*spells))
courses = (
    sparse
    | stretches
    | st.tuples(stretches, st.sets(st.integers(0, 100))).map(
        lambda pair: {day: count for day, count in pair[0].items() if int(day) not in pair[1]}
    )
)
landmark_days = st.integers(-2, 105).map(float) | st.floats(0, 101).map(lambda d: round(d, 1))


def grades(landmark: float, counts: Course) -> FloatArray:
    return np.array([g[0] for g in t_icaht_columns(patients([landmark], [counts]), "plt", unit="10*9/L").values()])


@given(st.lists(st.tuples(landmark_days, courses), min_size=1, max_size=4))
def test_columns_equal_the_slow_version(cases: list[tuple[float, Course]]) -> None:
    seen = patients([day for day, _ in cases], [counts for _, counts in cases])
    columns = t_icaht_columns(seen, "plt", unit="10*9/L")
    np.testing.assert_array_equal(columns["plt:early_t_icaht"], [slow_early(c, day) for day, c in cases])
    np.testing.assert_array_equal(columns["plt:late_t_icaht"], [slow_late(c, day) for day, c in cases])


@given(landmark_days, courses, courses)
def test_the_future_changes_nothing(landmark: float, counts: Course, future: Course) -> None:
    later = {day: value for day, value in future.items() if day > landmark}
    known = {day: value for day, value in counts.items() if day <= landmark}
    np.testing.assert_array_equal(grades(landmark, known), grades(landmark, known | later))


@given(landmark_days, courses, st.data())
def test_lower_counts_never_lower_the_grade(landmark: float, counts: Course, data: st.DataObject) -> None:
    lowered = {day: data.draw(counts_of.filter(lambda v, value=value: v <= value)) for day, value in counts.items()}
    before, after = grades(landmark, counts), grades(landmark, lowered)
    assert ((after >= before) | np.isnan(before)).all()
    np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
