"""Landmark columns against a slow, obvious version."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.landmark import STATISTICS, landmark_columns
from features.patients import Measurements, Patients

NAMES = ("crp", "ferritin", "ldh")
Record = tuple[int, int, float, float]
"""Row, variable, day, value."""
days = st.integers(-4, 8).map(float) | st.floats(-4, 8).map(lambda day: round(day, 3))
amounts = st.floats(-1e3, 1e3) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[float], list[Record]]:
    """Landmark days of one to four rows, and up to twenty measurements, many of them on one day."""
    landmarks = draw(st.lists(days, min_size=1, max_size=4))
    record = st.tuples(st.integers(0, len(landmarks) - 1), st.integers(0, 2), days, amounts)
    return landmarks, draw(st.lists(record, max_size=20))


def patients(landmarks: list[float], rows: list[Record]) -> Patients:
    row, variable, day, value = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 4
    measured = Measurements.from_columns(
        len(landmarks), row.astype(np.int64), NAMES, variable.astype(np.int64), day.astype(float), value.astype(float)
    )
    ids = np.array([f"p{i}" for i in range(len(landmarks))], dtype=object)
    return Patients(ids, np.array(landmarks), {}, measured)


def slow(landmark: float, values: list[tuple[float, float]]) -> dict[str, float]:
    """Statistics of one row's (day, value) pairs of one variable, by their definitions."""
    known = [(day, value) for day, value in values if day <= landmark and math.isfinite(value)]
    if not known:
        return dict.fromkeys(STATISTICS, math.nan)
    last_day = max(day for day, _ in known)
    mean_day = math.fsum(day for day, _ in known) / len(known)
    sxx = math.fsum((day - mean_day) ** 2 for day, _ in known)
    sxy = math.fsum((day - mean_day) * value for day, value in known)
    return {
        "last": max(value for day, value in known if day == last_day),
        "age": landmark - last_day,
        "slope": sxy / sxx if len({day for day, _ in known}) > 1 else math.nan,
        "min": min(value for _, value in known),
        "max": max(value for _, value in known),
    }


@given(cases(), st.permutations(NAMES))
def test_columns_equal_the_slow_version(case: tuple[list[float], list[Record]], asked: list[str]) -> None:
    landmarks, rows = case
    columns = landmark_columns(patients(landmarks, rows), asked[:2])
    assert list(columns) == [f"{name}:{statistic}" for statistic in STATISTICS for name in asked[:2]]
    for name in asked[:2]:
        for i, landmark in enumerate(landmarks):
            of_row = [(day, value) for row, v, day, value in rows if row == i and NAMES[v] == name]
            for statistic, expected in slow(landmark, of_row).items():
                found = columns[f"{name}:{statistic}"][i]
                np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=f"{name}:{statistic}")


@given(cases(), st.randoms())
def test_columns_do_not_depend_on_the_order_of_measurements(
    case: tuple[list[float], list[Record]], random: object
) -> None:
    landmarks, rows = case
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = landmark_columns(patients(landmarks, rows), NAMES)
    second = landmark_columns(patients(landmarks, shuffled), NAMES)
    for name, column in first.items():
        np.testing.assert_allclose(column, second[name], rtol=1e-9, atol=1e-9)


def test_a_day_equal_to_the_landmark_is_known_and_the_next_is_not() -> None:
    columns = landmark_columns(patients([3.0], [(0, 0, 3.0, 7.0), (0, 0, 3.001, 100.0)]), ["crp"])
    assert columns["crp:last"].tolist() == [7.0]
    assert columns["crp:age"].tolist() == [0.0]
    assert columns["crp:max"].tolist() == [7.0]


def test_age_may_reach_before_infusion() -> None:
    columns = landmark_columns(patients([30.0], [(0, 1, -7.0, 400.0)]), ["ferritin"], ["age", "slope"])
    assert columns["ferritin:age"].tolist() == [37.0]
    assert np.isnan(columns["ferritin:slope"]).all()
    assert set(columns) == {"ferritin:age", "ferritin:slope"}


@pytest.mark.parametrize("asked", [["il6"], ["il6", "crp"]], ids=["alone", "beside a known one"])
def test_a_variable_that_nobody_measured_is_missing(asked: list[str]) -> None:
    columns = landmark_columns(patients([3.0, 4.0], [(1, 0, 0.0, 7.0)]), asked)
    for statistic in STATISTICS:
        assert np.isnan(columns[f"il6:{statistic}"]).all()
    if "crp" in asked:
        np.testing.assert_array_equal(columns["crp:last"], [np.nan, 7.0])


def test_nothing_asked_or_nobody_there() -> None:
    assert landmark_columns(patients([3.0], [(0, 0, 0.0, 7.0)]), []) == {}
    nobody = patients([3.0], []).take(np.zeros(0, dtype=np.int64))
    assert landmark_columns(nobody, ["crp"])["crp:last"].shape == (0,)
