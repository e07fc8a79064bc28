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
from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.patients import FloatArray, Measurements, Patients
from features.schema import CohortCard, Variable

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


# --- what the encoder says of each patient --------------------------------------------------------

STUDY = CohortCard(title="t", citation="none", licence="CC0-1.0", provenance="simulated", variables=VARIABLES)
FOLD = patients(
    8,
    age=[50, 60, math.nan, 70, 40, 55, 61, 62],
    stage=["I", "II", "I", "I", "II", "I", "II", None],
    product=["a", "b", "c", None, "a", "b", "c", "a"],
    sex=["f", "f", "m", "m", "f", None, "m", "f"],
)
FITTED = PatientEncoder.fit(FOLD, STUDY, FeatureConfig())
USUAL: dict[str, Any] = {"age": 55.0, "stage": "I", "product": "a", "sex": "f"}
SAID = ("missing", "outside", "impossible", "unseen")
ODD: dict[str, tuple[dict[str, Any], dict[str, tuple[str, ...]]]] = {
    "nothing odd": ({}, {}),
    "numeric missing": ({"age": math.nan}, {"missing": ("baseline.age",)}),
    "numeric impossible": ({"age": 300.0}, {"missing": ("baseline.age",), "impossible": ("age",)}),
    "numeric negative": ({"age": -1.0}, {"missing": ("baseline.age",), "impossible": ("age",)}),
    "numeric infinite": ({"age": math.inf}, {"missing": ("baseline.age",), "impossible": ("age",)}),
    "numeric beyond training": ({"age": 119.0}, {"outside": ("baseline.age",)}),
    "ordinal missing": ({"stage": None}, {"missing": ("baseline.stage",)}),
    "ordinal not declared": ({"stage": "IV"}, {"missing": ("baseline.stage",), "unseen": ("stage",)}),
    "ordinal declared, beyond training": ({"stage": "III"}, {"outside": ("baseline.stage",), "unseen": ("stage",)}),
    "one of many missing": ({"product": None}, {"missing": ("baseline.product",)}),
    "one of many unseen": ({"product": "new"}, {"unseen": ("product",)}),
    "one of two missing": ({"sex": None}, {"missing": ("baseline.sex",)}),
    "one of two unseen": ({"sex": "x"}, {"missing": ("baseline.sex",), "unseen": ("sex",)}),
    "capital letters are another level": ({"product": "A"}, {"unseen": ("product",)}),
}


@pytest.mark.parametrize("case", ODD)
def test_missing_impossible_and_unseen_values_are_each_said(case: str) -> None:
    changed, said = ODD[case]
    encoded = FITTED.encode(patients(1, **{name: [value] for name, value in (USUAL | changed).items()}))
    assert {part: getattr(encoded, part)[0] for part in SAID if getattr(encoded, part)[0]} == said
    assert np.isfinite(encoded.x).all()


@given(st.lists(st.sampled_from(sorted(ODD)), min_size=1, max_size=6))
def test_each_patient_is_reported_alone(cases: list[str]) -> None:
    """Nobody's oddities show in another's report, or change another's row."""
    rows = [USUAL | ODD[case][0] for case in cases]
    encoded = FITTED.encode(patients(len(rows), **{name: [row[name] for row in rows] for name in USUAL}))
    for i, case in enumerate(cases):
        said = ODD[case][1]
        assert {part: getattr(encoded, part)[i] for part in SAID if getattr(encoded, part)[i]} == said
        alone = FITTED.encode(patients(1, **{name: [rows[i][name]] for name in USUAL}))
        np.testing.assert_allclose(encoded.x[i], alone.x[0], rtol=0, atol=1e-12)


def test_what_is_impossible_or_unseen_is_encoded_as_what_is_missing() -> None:
    def row(**changed: Any) -> FloatArray:
        record = USUAL | changed
        return FITTED.transform(patients(1, **{name: [value] for name, value in record.items()}))

    np.testing.assert_array_equal(row(age=300.0), row(age=math.nan))
    np.testing.assert_array_equal(row(age=math.inf), row(age=math.nan))
    np.testing.assert_array_equal(row(stage="IV"), row(stage=None))
    np.testing.assert_array_equal(row(sex="x"), row(sex=None))
    assert (row(product="new") != row(product=None)).any(), "of many levels, none of them is no missing value"
    for level in "abc":
        assert (row(product="new") != row(product=level)).any()


def test_a_variable_nobody_had_in_training_is_reported_and_changes_nothing() -> None:
    fold = patients(4, age=[50, 60, 70, 40], product=[None] * 4, sex=["f"] * 4)
    fitted = PatientEncoder.fit(fold, STUDY, FeatureConfig())
    one, other = patients(1, age=[50], product=["new"], sex=["x"]), patients(1, age=[50], product=[None], sex=["f"])
    np.testing.assert_array_equal(fitted.transform(one), fitted.transform(other))
    assert fitted.encode(one).unseen == (("product", "sex"),)
    assert fitted.encode(other).unseen == ((),)


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.booleans(), min_size=3, max_size=3)))
def test_flags_name_what_holds_in_each_row(masks: dict[str, list[bool]]) -> None:
    named = flags({name: np.array(mask) for name, mask in masks.items()}, 3)
    assert named == tuple(tuple(name for name, mask in masks.items() if mask[i]) for i in range(3))
