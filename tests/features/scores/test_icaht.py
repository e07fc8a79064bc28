"""ICAHT grades against hand-made courses, and against a slow version written from the rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.patients import FloatArray, Measurements, Patients
from features.scores.icaht import early_icaht, icaht_columns, late_icaht
from features.units import UnitError

Course = dict[float, float]
"""Count by day."""


def course(*spells: tuple[int, float], start: int = 0) -> Course:
    """Daily counts: each spell is a number of days and their count."""
    counts = [count for days, count in spells for _ in range(days)]
    return {float(start + i): count for i, count in enumerate(counts)}


def early(counts: Course, **more: float) -> float:
    return early_icaht(np.array(list(counts)), np.array(list(counts.values())), **more)  # type: ignore[arg-type]


def late(counts: Course, known_until_day: float = math.inf) -> float:
    return late_icaht(np.array(list(counts)), np.array(list(counts.values())), known_until_day=known_until_day)


EARLY_COURSES = {
    "never neutropenic": (course((31, 2000)), 0),
    "just above 500 is none": (course((10, 2000), (5, 501), (16, 2000)), 0),
    "500 is neutropenic": (course((10, 2000), (1, 500), (20, 2000)), 1),
    "six days": (course((5, 2000), (6, 300), (20, 2000)), 1),
    "six days below 100": (course((5, 2000), (6, 50), (20, 2000)), 1),
    "seven days": (course((5, 2000), (7, 300), (19, 2000)), 2),
    "seven days of 101": (course((5, 2000), (7, 101), (19, 2000)), 2),
    "seven days of 100": (course((5, 2000), (7, 100), (19, 2000)), 3),
    "thirteen days": (course((5, 2000), (13, 300), (13, 2000)), 2),
    "thirteen days below 100": (course((5, 2000), (13, 50), (13, 2000)), 3),
    "fourteen days": (course((5, 2000), (14, 300), (12, 2000)), 3),
    "fourteen days below 100": (course((5, 2000), (14, 50), (12, 2000)), 4),
    "the longest spell counts, not the sum": (course((5, 2000), (6, 300), (3, 900), (6, 300), (11, 2000)), 1),
    "two days are no recovery": (course((5, 2000), (6, 300), (2, 900), (6, 300), (12, 2000)), 3),
    "two days of 300 between days below 100": (course((5, 2000), (3, 50), (2, 300), (2, 50), (19, 2000)), 3),
    "three days of 300 between days below 100": (course((5, 2000), (4, 50), (3, 300), (4, 50), (15, 2000)), 2),
    "never above 500": (course((31, 400)), 4),
    "from day 3 to the end": (course((3, 2000), (28, 400)), 4),
    "from day 4 to the end": (course((4, 2000), (27, 400)), 3),
    "late onset to the end": (course((28, 2000), (3, 50)), 1),
    "recovered on the last day only": (course((30, 400), (1, 501)), 3),
    "counts of other days do not enter": ({-1.0: 0, **course((31, 2000)), 31.0: 0}, 0),
}


@pytest.mark.parametrize(("counts", "grade"), EARLY_COURSES.values(), ids=EARLY_COURSES.keys())
def test_early_grade_of_a_daily_course(counts: Course, grade: float) -> None:
    assert early(counts) == grade


SPARSE_COURSES = {
    "weekly counts cover their week": ({0: 2000, 7: 300, 14: 300, 21: 2000, 28: 2000}, 2),
    # 2000 -> 300 over 7 days meets 500 at 6.18 days, 300 -> 2000 leaves it at 0.82: days 7-14
    "seven missing days are interpolated": ({0: 3000, 4: 400, 12: 400, 13: 3000, 20: 3000, 28: 3000}, 2),
    "eight missing days are not": ({0: 3000, 4: 400, 13: 400, 14: 3000, 21: 3000, 28: 3000}, 1),
    "interpolation crosses the threshold": ({5: 1000, 10: 0, 15: 1000, 22: 1000, 30: 1000}, 1),  # days 8-12
    "the first count stands for the week before": ({7: 400, 8: 3000, 15: 3000, 22: 3000, 30: 3000}, 2),
    "but not for more": ({8: 400, 9: 3000, 15: 3000, 22: 3000, 30: 3000}, 1),
    "the last count stands for the week after": ({0: 3000, 7: 3000, 14: 3000, 22: 3000, 23: 400}, 2),
    "the lowest count of a day": ({10.1: 2000, 10.2: 400, 10.9: 2000, 17: 2000, 24: 2000, 30: 2000, 3: 2000}, 1),
    "impossible counts are left out": ({0: 900, 5: math.nan, 6: -1, 7: math.inf, 8: 900, 15: 900, 22: 900, 30: 900}, 0),
}


@pytest.mark.parametrize(("counts", "grade"), SPARSE_COURSES.values(), ids=SPARSE_COURSES.keys())
def test_early_grade_with_days_missing(counts: Course, grade: float) -> None:
    assert early(counts) == grade


@pytest.mark.parametrize(
    "counts", [{}, {-3: 100.0, 31: 100.0}, {5: math.nan}], ids=["no count", "none in the window", "only missing"]
)
def test_early_grade_takes_a_count(counts: Course) -> None:
    assert math.isnan(early(counts))


def test_death_without_recovery_is_grade_4() -> None:
    counts = course((2, 2000), (15, 400))
    assert early(counts, known_until_day=16, follow_up_ended=True) == 4
    assert early(counts, known_until_day=16) == 3  # alive on day 16: what comes is not known
    assert early(course((10, 400)), known_until_day=9) == 2
    assert math.isnan(early(course((10, 400)), known_until_day=-1))


LATE_COURSES = {
    "none": ({40: 1501, 60: 3000}, 0),
    "1500 twice": ({40: 1500, 60: 1500}, 1),
    "1001": ({40: 1001, 60: 1400}, 1),
    "1000": ({40: 1000, 60: 1400}, 2),
    "501": ({40: 501, 60: 1400}, 2),
    "500": ({40: 500, 60: 1400}, 3),
    "101": ({40: 101, 60: 1400}, 3),
    "100": ({40: 100, 60: 1400}, 4),
    "transient": ({40: 90, 60: 1501}, 0),
    "two counts of one day are one": ({40.1: 90, 40.6: 80, 60: 1501}, 0),
    "a single count": ({40: 90}, 4),
    "counts of other days do not enter": ({30: 90, 40: 2000, 41: 2000, 101: 90}, 0),
    "first and last day": ({31: 900, 100: 900}, 2),
}


@pytest.mark.parametrize(("counts", "grade"), LATE_COURSES.values(), ids=LATE_COURSES.keys())
def test_late_grade(counts: Course, grade: float) -> None:
    assert late(counts) == grade


def test_late_grade_takes_a_count() -> None:
    assert math.isnan(late({30: 90.0, 101: 90.0}))
    assert math.isnan(late({40: 90.0}, known_until_day=39.5))


def patients(landmarks: list[float], courses: list[Course], name: str = "anc") -> Patients:
    rows = [(i, day, value) for i, counts in enumerate(courses) for day, value in counts.items()]
    row = np.array([r[0] for r in rows], dtype=np.int64)
    series = Measurements.from_columns(
        len(landmarks),
        np.r_[row, row],
        ("other", name),
        np.repeat([1, 0], len(row)),
        np.tile([r[1] for r in rows], 2).astype(float),
        np.r_[[r[2] for r in rows], np.zeros(len(row))].astype(float),
    )
    ids = np.array([f"p{i}" for i in range(len(landmarks))], dtype=object)
    return Patients(ids, np.array(landmarks, dtype=float), {}, series)


def test_columns_convert_units_and_stop_at_the_landmark() -> None:
    full = {day: count / 1000 for day, count in course((5, 2000), (14, 50), (12, 2000)).items()} | {50.0: 0.4, 60.0: 1}
    seen = patients([12, 30, 55, 100, -5], [full] * 5)
    columns = icaht_columns(seen, "anc", unit="10*9/L")
    np.testing.assert_array_equal(columns["anc:early_icaht"], [3, 4, 4, 4, np.nan])  # day 12: eight days so far
    np.testing.assert_array_equal(columns["anc:late_icaht"], [np.nan, np.nan, 3, 3, np.nan])


def test_late_grade_ends_at_progression() -> None:
    seen = patients([100, 100], [{40: 1200, 45: 1200, 60: 90}] * 2)
    columns = icaht_columns(seen, "anc", unit="/uL", censor_day=np.array([50, np.nan]))
    np.testing.assert_array_equal(columns["anc:late_icaht"], [1, 4])


def test_columns_of_a_variable_nobody_has() -> None:
    columns = icaht_columns(patients([30, 60], [{1: 2.0}] * 2), "neutrophils", unit="/uL")
    assert all(np.isnan(grades).all() and grades.shape == (2,) for grades in columns.values())


def test_columns_refuse_a_unit_that_is_no_cell_count() -> None:
    with pytest.raises(UnitError, match="mg/dL"):
        icaht_columns(patients([30], [{1: 2.0}]), "anc", unit="mg/dL")


def slow_days(counts: Course, until: float, first: int, last: int) -> list[float | None]:
    """Count of each day of the window by `until`: the lowest of the day, None where there is none."""
    days: list[float | None] = []
    for today in range(first, last + 1):
        if today > until:
            break
        found = [v for d, v in counts.items() if math.floor(d) == today and d <= until and 0 <= v < math.inf]
        days.append(min(found) if found else None)
    return days


def slow_fill(days: list[float | None], *, edges: bool = True) -> list[float | None]:
    filled = list(days)
    for i in range(len(days)):
        a, b = i, i
        while a >= 0 and days[a] is None:
            a -= 1
        while b < len(days) and days[b] is None:
            b += 1
        left, right = (days[a] if a >= 0 else None), (days[b] if b < len(days) else None)
        if a == b or b - a - 1 > 7 or (left is None and right is None):
            continue
        if left is not None and right is not None:
            filled[i] = (left * (b - i) + right * (i - a)) / (b - a)
        elif edges:
            filled[i] = left if left is not None else right
    return filled


def slow_spells(low: list[bool]) -> list[tuple[int, int]]:
    """First and last index of each spell, with recoveries of one or two days joined."""
    spells: list[tuple[int, int]] = []
    for i, is_low in enumerate(low):
        if is_low and spells and i - spells[-1][1] - 1 <= 2:
            spells[-1] = (spells[-1][0], i)
        elif is_low:
            spells.append((i, i))
    return spells


def slow_early(counts: Course, until: float) -> float:
    days = slow_days(counts, until, 0, 30)
    if all(v is None for v in days):
        return math.nan
    filled = slow_fill(days)
    spells = slow_spells([v is not None and v <= 500 for v in filled])
    severe = max((b - a + 1 for a, b in spells), default=0)
    profound = max((b - a + 1 for a, b in slow_spells([v is not None and v <= 100 for v in filled])), default=0)
    if profound >= 14 or (len(days) == 31 and any(a <= 3 and b == 30 for a, b in spells)):
        return 4
    if profound >= 7 or severe >= 14:
        return 3
    return 2 if severe >= 7 else 1 if severe else 0


def slow_late(counts: Course, until: float) -> float:
    known = sorted(v for v in slow_days(counts, until, 31, 100) if v is not None)
    if not known:
        return math.nan
    if len(known) > 1 and known[1] > 1500:
        return 0
    return sum(known[0] <= limit for limit in (1500, 1000, 500, 100))


counts_of = st.sampled_from([0, 50, 100, 101, 300, 500, 501, 900, 1000, 1400, 1501, 4000]).map(float)
sparse = st.dictionaries(st.integers(-2, 110).map(float) | st.floats(-2, 110).map(lambda d: round(d, 1)), counts_of)
stretches = st.lists(st.tuples(st.integers(1, 12), counts_of), max_size=12).map(lambda spells: course(*spells))
courses = (
    sparse
    | stretches
    | st.tuples(stretches, st.sets(st.integers(0, 100))).map(
        lambda pair: {day: count for day, count in pair[0].items() if int(day) not in pair[1]}
    )
)
landmark_days = st.integers(-2, 105).map(float) | st.just(30.0) | st.floats(0, 101).map(lambda d: round(d, 1))


def grades(landmark: float, counts: Course) -> FloatArray:
    return np.array([g[0] for g in icaht_columns(patients([landmark], [counts]), "anc", unit="/uL").values()])


@given(st.lists(st.tuples(landmark_days, courses), min_size=1, max_size=4))
def test_columns_equal_the_slow_version(cases: list[tuple[float, Course]]) -> None:
    landmarks, of_rows = [list(column) for column in zip(*cases, strict=True)]
    columns = icaht_columns(patients(landmarks, of_rows), "anc", unit="/uL")  # type: ignore[arg-type]
    np.testing.assert_array_equal(columns["anc:early_icaht"], [slow_early(c, day) for day, c in cases])
    np.testing.assert_array_equal(columns["anc:late_icaht"], [slow_late(c, day) for day, c in cases])


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
