"""What is known of a score's inputs by the landmark: where it comes from, in which unit, and nothing later."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import SequelaError
from features.patients import Measurements, Patients
from features.schema import Variable
from features.scores import SCORES, computable, score_columns, score_inputs
from features.scores.hscore import HSCORE

UNITS = {"platelets": "10*9/L", "anc": "10*9/L", "haemoglobin": "g/dL", "crp": "mg/L", "ferritin": "ng/mL"}
MORE = {"ldh": "U/L", "creatinine": "mg/dL"}
VARIABLES = {name: Variable(kind="numeric", unit=unit) for name, unit in (UNITS | MORE).items()}
LOW_RISK = {"platelets": 220.0, "anc": 3.4, "haemoglobin": 12.4, "crp": 8.0, "ferritin": 180.0}
"""Of no points; CRP in mg/L."""

Measured = tuple[int, str, float, float]
"""Row, variable, day, value."""


def patients(
    baseline: dict[str, list[Any]], measured: list[Measured] | None = None, landmark_day: float = 0.0
) -> Patients:
    n = len(next(iter(baseline.values()))) if baseline else 1
    columns = {
        name: np.array(values, dtype=object if any(isinstance(v, str) for v in values) else float)
        for name, values in baseline.items()
    }
    measured = measured or []
    names = tuple(sorted({name for _, name, _, _ in measured}))
    measurements = Measurements.from_columns(
        n,
        np.array([row for row, _, _, _ in measured], dtype=np.int64),
        names,
        np.array([names.index(name) for _, name, _, _ in measured], dtype=np.int64),
        np.array([day for _, _, day, _ in measured], dtype=float),
        np.array([value for _, _, _, value in measured], dtype=float),
    )
    ids = np.array([f"p{i}" for i in range(n)], dtype=object)
    return Patients(ids, np.full(n, landmark_day), columns, measurements)


def one(baseline: dict[str, float], measured: list[Measured] | None = None, landmark_day: float = 0.0) -> Patients:
    return patients({name: [value] for name, value in baseline.items()}, measured, landmark_day)


def hematotox(someone: Patients, variables: dict[str, Variable] = VARIABLES) -> float:
    return float(score_columns(someone, variables, ["car_hematotox"])["car_hematotox"][0])


def test_crp_in_mg_per_litre_is_a_tenth_in_mg_per_decilitre() -> None:
    assert hematotox(one(LOW_RISK)) == 0  # 8 mg/L; read as mg/dL it would be 1
    assert hematotox(one(LOW_RISK | {"crp": 29.9})) == 0
    assert hematotox(one(LOW_RISK | {"crp": 30.0})) == 1


LIMITS = [
    *[("crp", "mg/L", 30.0), ("crp", "mg/dL", 3.0), ("crp", "ug/mL", 30.0), ("crp", "g/L", 0.03)],
    *[("anc", "/uL", 1200.0), ("anc", "10*3/uL", 1.2), ("anc", "{cells}/uL", 1200.0), ("anc", "10*6/L", 1200.0)],
    *[("haemoglobin", "g/L", 90.0), ("haemoglobin", "g/dL", 9.0)],
    *[("platelets", "/uL", 175_000.0), ("platelets", "10*3/uL", 175.0), ("platelets", "10*12/L", 0.175)],
    *[("ferritin", "ug/L", 650.0), ("ferritin", "mg/L", 0.65), ("ferritin", "ug/dL", 65.0)],
]


@pytest.mark.parametrize(("name", "unit", "limit"), LIMITS, ids=[f"{name} in {unit}" for name, unit, _ in LIMITS])
def test_limits_hold_exactly_in_every_unit(name: str, unit: str, limit: float) -> None:
    variables = VARIABLES | {name: Variable(kind="numeric", unit=unit)}
    safe = -1 if name in ("crp", "ferritin") else 1
    assert hematotox(one(LOW_RISK | {name: limit}), variables) == 1
    assert hematotox(one(LOW_RISK | {name: limit * (1 + safe * 1e-9)}), variables) == 0


def test_mass_and_amount_convert_by_the_molar_mass() -> None:
    variables = VARIABLES | {"creatinine": Variable(kind="numeric", unit="umol/L")}
    values = {"ldh": 200.0, "platelets": 100.0, "creatinine": 88.42}  # 1 mg/dL
    found = score_columns(one(values), variables, ["easix"])["easix"]
    np.testing.assert_allclose(found, [2.0], rtol=1e-3)


def test_baseline_goes_before_measurements_and_measurements_fill_its_gaps() -> None:
    baseline = {name: [value, value] for name, value in LOW_RISK.items()} | {"platelets": [220.0, math.nan]}
    measured: list[Measured] = [(row, "platelets", -2, 50.0) for row in (0, 1)]
    found = score_columns(patients(baseline, measured), VARIABLES, ["car_hematotox"])["car_hematotox"]
    assert found.tolist() == [0, 2]


def test_the_last_finite_measurement_up_to_the_landmark_counts() -> None:
    baseline = {name: value for name, value in LOW_RISK.items() if name != "platelets"}
    course: list[Measured] = [(0, "platelets", day, value) for day, value in ((-5, 220.0), (0, 100.0), (3, 40.0))]
    course.append((0, "platelets", 1, math.nan))
    for landmark_day, expected in ((-6, math.nan), (-5, 0), (-1, 0), (0, 1), (2, 1), (3, 2), (90, 2)):
        found = hematotox(one(baseline, course, landmark_day))
        np.testing.assert_array_equal(found, expected, err_msg=str(landmark_day))


def test_baseline_and_measurements_may_be_two_variables_with_two_units() -> None:
    variables = VARIABLES | {
        "crp": Variable(kind="numeric", unit="mg/L", loinc="1988-5"),
        "daily": Variable(kind="numeric", unit="mg/dL", loinc="1988-5"),
    }
    baseline = {name: [value, value] for name, value in LOW_RISK.items()} | {"crp": [8.0, math.nan]}
    measured: list[Measured] = [(row, "daily", -1, 9.5) for row in (0, 1)]
    someone = patients(baseline, measured)
    assert score_inputs(SCORES["car_hematotox"], someone, variables).values["crp"].tolist() == [0.8, 9.5]


days = st.floats(-10, 100)
course = st.lists(st.tuples(st.sampled_from(sorted(VARIABLES)), days, st.floats(0.1, 5000)), max_size=12)


@given(known=course, future=course, landmark_day=st.floats(-5, 60))
def test_the_future_changes_nothing(
    known: list[tuple[str, float, float]], future: list[tuple[str, float, float]], landmark_day: float
) -> None:
    past: list[Measured] = [(0, name, -10.0, 50.0) for name in VARIABLES]
    past += [(0, name, min(day, landmark_day), value) for name, day, value in known]
    later: list[Measured] = [(0, name, landmark_day + 1e-6 + abs(day), value) for name, day, value in future]
    names = ["car_hematotox", "easix", "s_easix:log2", "m_easix"]
    empty: dict[str, float] = {}
    expected = score_columns(one(empty, past, landmark_day), VARIABLES, names)
    found = score_columns(one(empty, past + later, landmark_day), VARIABLES, names)
    for name in names:
        assert np.isfinite(expected[name]).all()
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_missing_inputs_are_named_per_row() -> None:
    baseline = {name: [value, value, value] for name, value in LOW_RISK.items()}
    baseline |= {"crp": [8.0, math.nan, math.nan], "ferritin": [180.0, 180.0, math.inf]}
    inputs = score_inputs(SCORES["car_hematotox"], patients(baseline), VARIABLES)
    assert inputs.missing == ((), ("crp",), ("crp", "ferritin"))
    found = score_columns(patients(baseline), VARIABLES, ["car_hematotox"])["car_hematotox"]
    np.testing.assert_array_equal(found, [0, math.nan, math.nan])


def test_a_patient_served_without_a_declared_variable_has_no_score() -> None:
    someone = one({name: value for name, value in LOW_RISK.items() if name != "ferritin"})
    assert math.isnan(hematotox(someone))
    assert score_inputs(SCORES["car_hematotox"], someone, VARIABLES).missing == (("ferritin",),)


def test_a_cohort_without_the_analyte_is_told_so() -> None:
    variables = {name: variable for name, variable in VARIABLES.items() if name != "ferritin"}
    with pytest.raises(SequelaError, match=r"car_hematotox needs ferritin, .*Declare it in cohort.yaml, .*LOINC"):
        hematotox(one(LOW_RISK), variables)
    assert computable(variables) == ("easix", "s_easix", "m_easix")
    assert computable(VARIABLES) == ("car_hematotox", "easix", "s_easix", "m_easix")


@pytest.mark.parametrize(
    ("variable", "rule"),
    [
        (Variable(kind="categorical"), r"needs crp, .*as numeric"),
        (Variable(kind="numeric", unit="U/L"), r"crp cannot be read as crp in mg/dL"),
        (Variable(kind="numeric", unit="spoons"), r"crp cannot be read as crp in mg/dL: .*spoons"),
    ],
    ids=["not a number", "another dimension", "no unit"],
)
def test_a_variable_that_cannot_be_the_input_is_refused(variable: Variable, rule: str) -> None:
    with pytest.raises(SequelaError, match=rule):
        hematotox(one(LOW_RISK), VARIABLES | {"crp": variable})


def test_logarithms_are_columns_of_their_own() -> None:
    values = {"ldh": [200.0, 200.0], "platelets": [100.0, 100.0], "creatinine": [1.0, math.nan]}
    found = score_columns(patients(values), VARIABLES, ["easix:log2", "easix", "s_easix:log2"])
    assert list(found) == ["easix:log2", "easix", "s_easix:log2"]
    np.testing.assert_array_equal(found["easix"], [2.0, math.nan])
    np.testing.assert_array_equal(found["easix:log2"], [1.0, math.nan])
    np.testing.assert_array_equal(found["s_easix:log2"], [1.0, 1.0])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("car_hematotx", r"no score is named 'car_hematotx'. Did you mean car_hematotox\?"),
        ("apache", "There are car_hematotox, easix"),
        ("car_hematotox:log2", "no scale 'log2'. Write 'car_hematotox'; logarithms are easix:log2"),
        ("easix:ln", "no scale 'ln'"),
    ],
    ids=["misspelt", "unknown", "points have no logarithm", "unknown scale"],
)
def test_a_name_that_is_no_score_is_refused(name: str, rule: str) -> None:
    with pytest.raises(SequelaError, match=rule):
        score_columns(one(LOW_RISK), VARIABLES, [name])


@pytest.mark.parametrize(
    "inputs", [{"ldh": 1.0}, {"ldh": 1.0, "platelets": 1.0, "crp": 1.0}], ids=["one is absent", "one too many"]
)
def test_formulas_take_exactly_their_inputs(inputs: dict[str, float]) -> None:
    with pytest.raises(SequelaError, match=r"score s_easix: .*Give exactly ldh, platelets"):
        SCORES["s_easix"].compute(inputs)


H_UNITS = {"triglycerides": "mg/dL", "fibrinogen": "mg/dL", "ast": "U/L", "temperature": "Cel", "wbc": "10*9/L"}
H_VARIABLES = VARIABLES | {name: Variable(kind="numeric", unit=unit) for name, unit in H_UNITS.items()}
H_VARIABLES |= {
    "organomegaly": Variable(kind="ordinal", levels=HSCORE.coded["organomegaly"]),
    "immunosuppression": Variable(kind="categorical", levels=("no", "yes")),
    "haemophagocytosis": Variable(kind="numeric"),
}
H_PATIENT: dict[str, list[Any]] = {
    "platelets": [90.0],
    "haemoglobin": [8.0],
    "wbc": [2.0],
    "ferritin": [3000.0],
    "ast": [80.0],
    "temperature": [39.0],
    "triglycerides": [200.0],  # 2.26 mmol/L
    "fibrinogen": [240.0],  # 2.4 g/L
    "organomegaly": ["hepatomegaly or splenomegaly"],
    "immunosuppression": ["yes"],
    "haemophagocytosis": [0.0],
}
H_POINTS = 34 + 35 + 19 + 33 + 44 + 30 + 23 + 18


def hscore(someone: Patients, variables: dict[str, Variable] = H_VARIABLES) -> float:
    return float(score_columns(someone, variables, ["hscore"])["hscore"][0])


def test_hscore_from_a_cohort_in_other_units() -> None:
    assert hscore(patients(H_PATIENT)) == H_POINTS
    assert "hscore" in computable(H_VARIABLES)


def test_hscore_takes_the_latest_measurement_before_baseline() -> None:
    measured: list[Measured] = [(0, "temperature", 5, 40.0), (0, "haemophagocytosis", 6, 1.0)]
    assert hscore(patients(H_PATIENT, measured, landmark_day=4)) == H_POINTS
    assert hscore(patients(H_PATIENT, measured, landmark_day=7)) == H_POINTS - 33 + 49 + 35


def test_a_finding_that_is_none_of_the_allowed_is_missing() -> None:
    undeclared = H_VARIABLES | {"organomegaly": Variable(kind="categorical")}
    for value in ("enlarged", None):
        column = np.array([value], dtype=object)
        base = patients(H_PATIENT)
        someone = replace(base, baseline={**base.baseline, "organomegaly": column})
        assert math.isnan(hscore(someone, undeclared))
        assert score_inputs(HSCORE, someone, undeclared).missing == (("organomegaly",),)
    no_code = patients(H_PATIENT | {"haemophagocytosis": [2.0]})
    assert math.isnan(hscore(no_code))
    assert score_inputs(HSCORE, no_code, H_VARIABLES).missing == (("haemophagocytosis",),)


def test_levels_that_the_score_does_not_know_are_refused() -> None:
    variables = H_VARIABLES | {"immunosuppression": Variable(kind="categorical", levels=("no", "ja"))}
    with pytest.raises(SequelaError, match=r"immunosuppression has the level 'ja'; allowed are no, yes. Rename"):
        hscore(patients(H_PATIENT), variables)


def test_every_score_says_what_it_is() -> None:
    for name, score in SCORES.items():
        assert name == score.name
        assert score.title
        assert score.when
        assert "20" in score.citation
        assert score.range[0] < score.range[1]
        assert [group.low for group in score.groups] == sorted(group.low for group in score.groups)
        assert not score.groups or score.groups[0].low == -math.inf
