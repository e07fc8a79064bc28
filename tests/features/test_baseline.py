"""Baseline variables as columns, unseen levels, impossible values."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.baseline import BaselineEncoder, flags, impossible
from features.patients import Measurements, Patients
from features.schema import Variable

VARIABLES = {
    "age": Variable(kind="numeric", unit="a", range=(0, 120)),
    "stage": Variable(kind="ordinal", levels=("I", "II", "III")),
    "product": Variable(kind="categorical"),
    "sex": Variable(kind="categorical", levels=("f", "m")),
    "ferritin": Variable(kind="numeric", unit="ug/L", range=(0, 1e5)),
    "crp": Variable(kind="numeric", unit="mg/L"),
}
NAMES = ("age", "stage", "product", "sex")


def patients(n: int, **baseline: list[Any]) -> Patients:
    kinds = {name: float if VARIABLES[name].kind == "numeric" else object for name in baseline}
    columns = {name: np.array(values, dtype=kinds[name]) for name, values in baseline.items()}
    return Patients(np.array([f"p{i}" for i in range(n)], dtype=object), np.zeros(n), columns, Measurements.empty(n))


TRAINED = patients(
    4,
    age=[50, 60, math.nan, 70],
    stage=["I", "III", "II", None],
    product=["axi-cel", "tisa-cel", "liso-cel", None],
    sex=["f", "m", None, "f"],
)


def test_columns_by_kind() -> None:
    columns = BaselineEncoder.fit(TRAINED, VARIABLES, NAMES).columns(TRAINED)
    nan = math.nan
    expected = {
        "age": [50, 60, nan, 70],
        "stage": [0, 2, 1, nan],
        "product=axi-cel": [1, 0, 0, nan],
        "product=liso-cel": [0, 0, 1, nan],
        "product=tisa-cel": [0, 1, 0, nan],
        "sex=m": [0, 1, nan, 0],
    }
    assert list(columns) == list(expected)
    for name, column in columns.items():
        np.testing.assert_array_equal(column, expected[name], err_msg=name)


def test_levels_of_an_ordinal_variable_are_those_declared_not_those_seen() -> None:
    only_high = patients(2, stage=["III", "II"])
    assert BaselineEncoder.fit(only_high, VARIABLES, ["stage"]).columns(only_high)["stage"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("product", [0.0, 0.0, 0.0]), ("sex", [math.nan]), ("stage", [math.nan])],
    ids=["of many: none of them", "of two: missing, not the first", "ordinal: missing"],
)
def test_an_unseen_level_is_no_known_level(name: str, expected: list[float]) -> None:
    encoder = BaselineEncoder.fit(TRAINED, VARIABLES, NAMES)
    stranger = patients(1, **{name: ["new"]})
    columns = encoder.columns(stranger)
    found = [columns[column][0] for column in columns if column.partition("=")[0] == name]
    np.testing.assert_array_equal(found, expected)
    assert encoder.unseen(stranger) == ((name,),)
    assert encoder.unseen(TRAINED) == ((), (), (), ())


def test_absent_variables_are_missing() -> None:
    encoder = BaselineEncoder.fit(TRAINED, VARIABLES, NAMES)
    nobody_said = patients(2)
    for name, column in encoder.columns(nobody_said).items():
        assert np.isnan(column).all(), name
    assert encoder.unseen(nobody_said) == ((), ())


def test_state_goes_through_json_unchanged() -> None:
    encoder = BaselineEncoder.fit(TRAINED, VARIABLES, NAMES)
    again = BaselineEncoder.from_state(json.loads(json.dumps(encoder.state())))
    assert again == encoder
    for name, column in again.columns(TRAINED).items():
        np.testing.assert_array_equal(column, encoder.columns(TRAINED)[name])


def measured(value: list[float], day: list[float]) -> Patients:
    """Two rows from landmark 10; ferritin and CRP of row 1 in turn."""
    n = len(value)
    values, days = np.array(value), np.array(day)
    measurements = Measurements(
        np.array([0, 0, n]), np.arange(n, dtype=np.int64) % 2, days, values, ("ferritin", "crp")
    )
    ids = np.array(["a", "b"], dtype=object)
    return Patients(ids, np.full(2, 10.0), {"age": np.array([130.0, 60.0])}, measurements)


def test_impossible_values_are_missing_and_named() -> None:
    before = measured([2e5, -3.0, 7.0, math.inf, 1e5], [1, 2, 3, 4, 5])
    after, named = impossible(before, VARIABLES)
    np.testing.assert_array_equal(after.baseline["age"], [math.nan, 60.0])
    np.testing.assert_array_equal(after.measurements.value, [math.nan, -3.0, 7.0, math.nan, 1e5])
    assert named == (("age",), ("ferritin", "crp")), "the range's end is possible; without a range only infinity is not"
    assert before.baseline["age"].tolist() == [130.0, 60.0], "the original stays"
    assert before.measurements.value[0] == 2e5


def test_impossible_values_of_the_future_are_not_named() -> None:
    after, named = impossible(measured([2e5, 7.0], [11, 2]), VARIABLES)
    assert named == (("age",), ())
    assert np.isnan(after.measurements.value[0])


def test_missing_values_are_not_impossible() -> None:
    after, named = impossible(measured([math.nan, math.nan], [1, 2]), {"ferritin": VARIABLES["ferritin"]})
    assert named == ((), ())
    assert np.isnan(after.measurements.value).all()


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.booleans(), min_size=3, max_size=3)))
def test_flags_name_what_holds_in_each_row(masks: dict[str, list[bool]]) -> None:
    named = flags({name: np.array(mask) for name, mask in masks.items()}, 3)
    assert named == tuple(tuple(name for name, mask in masks.items() if mask[i]) for i in range(3))
