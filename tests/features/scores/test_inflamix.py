"""The inflammatory cluster on simulated laboratory values with a known truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import SequelaError
from features.patients import FloatArray, Measurements, Patients
from features.schema import Variable
from features.scores.inflamix import LABS, SIX_LABS, InflaMix

NAMES = ("crp", "albumin", "ldh", "ferritin")
UNITS = {"crp": "mg/L", "albumin": "g/L", "ldh": "U/L", "ferritin": "ng/mL"}
VARIABLES = {name: Variable(kind="numeric", unit=unit) for name, unit in UNITS.items()}


def values(n: int, seed: int, missing: float = 0.2) -> tuple[FloatArray, FloatArray]:
    """Laboratory values (n, 4), and who is inflamed (n,)."""
    rng = np.random.default_rng(seed)
    inflamed = (rng.random(n) < 0.3).astype(float)
    crp = 10 ** (0.7 + 1.0 * inflamed + 0.35 * rng.standard_normal(n))
    albumin = 40 - 9 * inflamed + 3 * rng.standard_normal(n)
    ldh = np.abs(220 + 200 * inflamed + 60 * (1 + inflamed) * rng.standard_normal(n))
    ferritin = 10 ** (2.5 + 0.8 * inflamed + 0.3 * rng.standard_normal(n))
    x = np.column_stack([crp, albumin, ldh, ferritin])
    x[rng.random(x.shape) < missing] = np.nan
    return x, inflamed


def patients(x: FloatArray, day: float = -2.0, landmark: float = 0.0, names: tuple[str, ...] = NAMES) -> Patients:
    row, variable = np.nonzero(np.isfinite(x))
    series = Measurements.from_columns(len(x), row, names, variable, np.full(len(row), day), x[row, variable])
    ids = np.array([f"p{i}" for i in range(len(x))], dtype=object)
    return Patients(ids, np.full(len(x), landmark), {}, series)


@pytest.fixture(scope="module")
def model() -> InflaMix:
    return InflaMix.fit(patients(values(400, seed=0)[0]), VARIABLES, seed=1, n_starts=5)


def test_new_patients_are_told_apart(model: InflaMix) -> None:
    x, inflamed = values(600, seed=9)
    probability = model.columns(patients(x))["inflamix"]
    known = np.isfinite(x).any(axis=1)
    assert np.isnan(probability[~known]).all()
    assert ((probability[known] > 0.5) == inflamed[known]).mean() > 0.93
    assert model.labs == ("albumin", "crp", "ldh", "ferritin")
    assert model.units == ("g/L", "mg/L", "U/L", "ng/mL")


def test_the_paper_s_labs() -> None:
    assert len(LABS) == 14
    assert SIX_LABS == ("albumin", "hemoglobin", "crp", "ldh", "alp", "ast")


@pytest.mark.parametrize("names", [NAMES, ("albumin", "ldh", "ferritin")], ids=["by CRP", "by ferritin"])
def test_the_inflammatory_cluster_is_the_one_with_the_higher_marker(names: tuple[str, ...]) -> None:
    x, inflamed = values(300, seed=2, missing=0.0)
    x = x[:, [NAMES.index(name) for name in names]]
    for seed in range(4):  # whichever component comes first
        fitted = InflaMix.fit(patients(x, names=names), VARIABLES, {n: n for n in names}, seed=seed, n_starts=3)  # type: ignore[misc]
        probability = fitted.columns(patients(x, names=names))["inflamix"]
        assert probability[inflamed == 1].mean() > 0.8 > 0.2 > probability[inflamed == 0].mean()


def test_unit_of_a_value_does_not_matter() -> None:
    x, _ = values(200, seed=3)
    per_dl = patients(x * np.array([0.1, 0.1, 1, 1]))
    first = InflaMix.fit(patients(x), VARIABLES, seed=0, n_starts=3).columns(patients(x))["inflamix"]
    second = InflaMix.fit(per_dl, VARIABLES, seed=0, n_starts=3).columns(per_dl)["inflamix"]
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_patient_counts_once_however_many_landmarks(model: InflaMix) -> None:
    seen = patients(values(400, seed=0)[0])
    rows = np.r_[np.arange(400), np.arange(100), np.arange(50)]
    repeated = seen.take(rows).at_landmark(np.r_[np.zeros(400), np.full(100, 30.0), np.full(50, 90.0)])
    again = InflaMix.fit(repeated, VARIABLES, seed=1, n_starts=5)
    np.testing.assert_array_equal(model.columns(seen)["inflamix"], again.columns(seen)["inflamix"])


def test_state_is_json_and_gives_the_same(model: InflaMix) -> None:
    back = InflaMix.from_state(json.loads(json.dumps(model.state())))
    x = patients(values(50, seed=4)[0])
    np.testing.assert_array_equal(model.columns(x)["inflamix"], back.columns(x)["inflamix"])
    assert back.state() == model.state()


@settings(max_examples=30, deadline=None)
@given(st.floats(-20, 60), st.lists(st.tuples(st.floats(-20, 60), st.floats(0.1, 500)), max_size=6))
def test_nothing_after_infusion_or_landmark_enters(
    model: InflaMix, landmark: float, added: list[tuple[float, float]]
) -> None:
    later = [(day, value) for day, value in added if day > min(landmark, 0)]
    base = [(-3.0, 12.0), (-1.0, 80.0)]

    def seen(rows: list[tuple[float, float]]) -> Patients:
        day, value = (np.array(column) for column in zip(*rows, strict=True))
        zeros = np.zeros(len(rows), dtype=np.int64)
        series = Measurements.from_columns(1, zeros, ("crp",), zeros, day, value)
        return Patients(np.array(["p"], dtype=object), np.array([landmark]), {}, series)

    np.testing.assert_array_equal(model.columns(seen(base))["inflamix"], model.columns(seen(base + later))["inflamix"])


def test_measurements_go_before_baseline_and_old_ones_are_missing(model: InflaMix) -> None:
    high, low = np.array([[np.nan] * 4, [np.nan] * 4]), np.array([5.0, 5.0])
    high[:, 0] = [400.0, np.nan]
    seen = patients(high)
    of_both = Patients(seen.patient_id, seen.landmark_day, {"crp": low}, seen.measurements)
    probability = model.columns(of_both)["inflamix"]
    assert probability[0] > 0.8 > 0.3 > probability[1]
    old = patients(high[:1], day=-15.0)
    assert np.isnan(model.columns(old)["inflamix"]).all()


def test_zero_and_impossible_values(model: InflaMix) -> None:
    x = np.full((3, 4), np.nan)
    x[:, 0] = [0.0, -1.0, model.floor[model.labs.index("crp")]]
    probability = model.columns(patients(x))["inflamix"]
    assert probability[0] == probability[2] < 0.3  # below detection counts as the lowest seen
    assert np.isnan(probability[1])


def test_values_seen_too_seldom_or_constant_are_left_out() -> None:
    x, _ = values(200, seed=5)
    x[15:, 1], x[:, 2] = np.nan, 250.0
    assert InflaMix.fit(patients(x), VARIABLES, seed=0, n_starts=2).labs == ("crp", "ferritin")


@pytest.mark.parametrize(
    ("labs", "n", "message"),
    [
        ({"sodium": "crp"}, 50, "sodium is not one of its laboratory values"),
        ({"crp": "hscrp"}, 50, "crp is to be the variable hscrp, which the cohort does not declare"),
        ({"albumin": "albumin", "ldh": "ldh"}, 50, "crp, ferritin, il6 are all absent"),
        (None, 9, "9 training patients have a value of albumin, crp, ldh, ferritin; two clusters of 4 values need 10"),
    ],
    ids=["no such value", "no such variable", "no marker", "too few patients"],
)
def test_what_cannot_be_fitted_is_explained(labs: dict[str, str] | None, n: int, message: str) -> None:
    with pytest.raises(SequelaError, match=message):
        InflaMix.fit(patients(values(n, seed=6, missing=0.0)[0]), VARIABLES, labs, seed=0)  # type: ignore[arg-type]


def test_a_cohort_without_any_of_the_values() -> None:
    seen = patients(values(50, seed=6)[0])
    with pytest.raises(SequelaError, match="all absent"):
        InflaMix.fit(seen, {"age": Variable(kind="numeric", unit="a")}, seed=0)
