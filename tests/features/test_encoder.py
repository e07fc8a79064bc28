"""The encoder: fitted on a training fold alone, the same for one patient and for many."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from summaries import dense_summary

from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.patients import Measurements, Patients, Samples
from features.schema import CellsCard, CohortCard, Variable

GENES = ("PDCD1", "HAVCR2", "LAG3", "ACTB")
CARD = CohortCard(
    title="t",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={
        "age": Variable(kind="numeric", unit="a", range=(0, 120)),
        "stage": Variable(kind="ordinal", levels=("I", "II", "III")),
        "product": Variable(kind="categorical"),
        "cd4_count": Variable(kind="numeric", unit="/uL"),
        "cd4_share": Variable(kind="numeric"),
        "ferritin": Variable(kind="numeric", unit="ug/L", range=(0, 1e6)),
    },
    cells=CellsCard(),
)
CONFIG = FeatureConfig(pseudobulk_components=2)


def cohort(seed: int, n: int) -> Patients:
    """Patients with everything, some of it missing."""
    rng = np.random.default_rng(seed)
    row = np.repeat(np.arange(n), rng.integers(0, 6, n))
    measurements = Measurements.from_columns(
        n,
        row,
        ("cd4_count", "cd4_share", "ferritin"),
        rng.integers(3, size=len(row)),
        rng.integers(-10, 30, len(row)).astype(float),
        rng.lognormal(4, 1, len(row)),
    )
    n_cells = rng.integers(0, 30, (n, 2)).astype(float)
    total = rng.poisson(20, (n, 2, len(GENES))).astype(float)
    samples = Samples(
        np.arange(n + 1),
        np.array([f"s{i}" for i in range(n)], dtype=object),
        rng.choice([-5.0, 28.0], n, p=[0.8, 0.2]),
        np.full(n, "product", dtype=object),
        dense_summary(("CD4 T", "CD8 T"), GENES, n_cells, total, np.log1p(total) * n_cells[:, :, None]),
    )
    baseline = {
        "age": np.where(rng.random(n) < 0.2, np.nan, rng.normal(60, 9, n)),
        "stage": rng.choice(np.array(["I", "II", "III", None], dtype=object), n),
        "product": rng.choice(np.array(["a", "b", "c"], dtype=object), n),
    }
    ids = np.array([f"p{i}" for i in range(n)], dtype=object)
    return Patients(ids, rng.choice([0.0, 30.0], n), baseline, measurements, samples)


TRAINED = cohort(0, 60)
ENCODER = PatientEncoder.fit(TRAINED, CARD, CONFIG)


def spoilt(patients: Patients, rows: NDArray[np.int64]) -> Patients:
    """The same patients, with absurd values of every kind in `rows`."""
    at = np.isin(np.arange(len(patients)), rows)
    measured = patients.measurements
    of_rows = at[measured.row]
    assert patients.samples is not None
    summary = patients.samples.summary
    of_groups = np.repeat(at[patients.samples.row], np.diff(summary.offsets))
    baseline: dict[str, Any] = {
        "age": np.where(at, 119.0, patients.baseline["age"].astype(float)),
        "stage": np.where(at, "III", patients.baseline["stage"]),
        "product": np.where(at, "unheard-of", patients.baseline["product"]),
    }
    return replace(
        patients,
        landmark_day=np.where(at, 77.0, patients.landmark_day),
        baseline=baseline,
        measurements=replace(measured, value=np.where(of_rows, 9e5, measured.value)),
        samples=replace(
            patients.samples,
            summary=replace(
                summary,
                n_cells=np.where(of_groups, 1e4, summary.n_cells),
                total=np.where(of_groups[:, None], np.arange(4.0) * 1e3, summary.total),
            ),
        ),
    )


def exactly(encoder: PatientEncoder) -> tuple[str, dict[str, list[float]]]:
    sizes, arrays = encoder.state()
    return json.dumps(sizes, sort_keys=True), {name: array.tolist() for name, array in arrays.items()}


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 59), min_size=5, max_size=25))
def test_fitting_sees_nothing_of_the_test_fold(held_out: set[int]) -> None:
    """Whatever stands in the test rows, the fitted encoder is the same, to the last bit."""
    test = np.array(sorted(held_out))
    train = np.setdiff1d(np.arange(60), test)
    clean = PatientEncoder.fit(TRAINED.take(train), CARD, CONFIG)
    other = PatientEncoder.fit(spoilt(TRAINED, test).take(train), CARD, CONFIG)
    assert exactly(clean) == exactly(other)
    assert exactly(clean) != exactly(PatientEncoder.fit(spoilt(TRAINED, test), CARD, CONFIG)), "the test can fail"


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), n=st.integers(1, 8))
def test_a_patient_alone_is_encoded_as_among_many(seed: int, n: int) -> None:
    patients = cohort(seed, n)
    together = ENCODER.encode(patients)
    for i in range(n):
        alone = ENCODER.encode(patients.take(np.array([i])))
        np.testing.assert_allclose(alone.x[0], together.x[i], atol=1e-9)
        assert (alone.missing[0], alone.outside[0]) == (together.missing[i], together.outside[i])


def test_whoever_sends_no_samples_is_encoded_as_who_has_only_later_ones() -> None:
    """Of a request without any sample nothing of samples is computed."""
    patients = cohort(4, 12)
    assert patients.samples is not None
    later = replace(patients, samples=replace(patients.samples, day=np.full(12, 99.0)))
    without, expected = ENCODER.encode(replace(patients, samples=None)), ENCODER.encode(later)
    np.testing.assert_array_equal(without.x, expected.x)
    assert without.missing == expected.missing
    assert any("samples.product" in names for names in without.missing)


def test_matrix_has_the_named_columns_and_no_gap() -> None:
    encoded = ENCODER.encode(TRAINED)
    assert encoded.x.shape == (60, len(ENCODER.feature_names))
    assert np.isfinite(encoded.x).all()
    np.testing.assert_array_equal(encoded.x, ENCODER.transform(TRAINED))
    assert len(set(ENCODER.feature_names)) == len(ENCODER.feature_names)
    expected = {"landmark_day", "age", "stage", "product=a", "ferritin:last", "product:clr(CD4 T)", "pseudobulk:pc1"}
    assert expected <= set(ENCODER.feature_names)
    assert "product:exhaustion" in ENCODER.feature_names


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"baseline": ("age", "st*"), "measurements": (), "cells": ()}, {"landmark_day", "age", "stage"}),
        (
            {"baseline": (), "measurements": ("cd4_*",), "statistics": ("last",), "cells": ()},
            {"landmark_day", "cd4_count:last", "cd4_share:last"},
        ),
        (
            {"baseline": (), "measurements": (), "cells": ("composition",)},
            {"landmark_day", "product:clr(CD4 T)"},
        ),
        ({"baseline": (), "measurements": (), "cells": ()}, {"landmark_day"}),
    ],
    ids=["patterns of baseline", "patterns of measurements", "composition alone", "nothing"],
)
def test_configuration_selects_features(config: dict[str, Any], expected: set[str]) -> None:
    """Of two types the second log ratio is minus the first: only an equal column is dropped, so it stays."""
    encoder = PatientEncoder.fit(TRAINED, CARD, FeatureConfig(**config))
    values = {name for name in encoder.feature_names if not name.endswith(" missing")}
    assert values - {"product:clr(CD8 T)"} == expected


def test_one_landmark_is_no_feature() -> None:
    assert "landmark_day" not in PatientEncoder.fit(TRAINED.at_landmark(0.0), CARD, CONFIG).feature_names


def test_report_says_what_was_unusual() -> None:
    measured = Measurements.from_columns(
        1, np.zeros(2, np.int64), ("ferritin",), np.zeros(2, np.int64), np.array([-1.0, -2.0]), np.array([4e5, 2e6])
    )
    odd = Patients(
        np.array(["x"], dtype=object),
        np.array([0.0]),
        {"age": np.array([300.0]), "product": np.array(["unheard-of"], dtype=object)},
        measured,
    )
    encoded = ENCODER.encode(odd)
    assert set(encoded.impossible[0]) == {"age", "ferritin"}
    assert encoded.unseen == (("product",),)
    assert "measurements.ferritin:last" in encoded.outside[0]
    assert {"baseline.age", "baseline.stage"} <= set(encoded.missing[0])
    assert not any(name.startswith("samples.pseudobulk") for name in encoded.missing[0])
    assert "measurements.ferritin" not in encoded.missing[0]
    assert len(encoded.missing[0]) == len(set(encoded.missing[0]))


def test_impossible_values_are_encoded_as_missing() -> None:
    first = replace(TRAINED, baseline=TRAINED.baseline | {"age": np.full(60, 300.0)})
    second = replace(TRAINED, baseline=TRAINED.baseline | {"age": np.full(60, np.nan)})
    np.testing.assert_array_equal(ENCODER.transform(first), ENCODER.transform(second))


@pytest.mark.parametrize("cells", [True, False], ids=["with cells", "clinic alone"])
def test_state_goes_through_json_and_arrays_exactly(cells: bool) -> None:
    patients = TRAINED if cells else replace(TRAINED, samples=None)
    encoder = PatientEncoder.fit(patients, CARD, CONFIG)
    sizes, arrays = encoder.state()
    assert bool(arrays) == cells
    again = PatientEncoder.from_state(json.loads(json.dumps(sizes, allow_nan=False)), arrays)
    assert again.feature_names == encoder.feature_names
    assert again.variables == encoder.variables
    np.testing.assert_array_equal(again.transform(cohort(5, 20)), encoder.transform(cohort(5, 20)))
    assert again.encode(cohort(5, 20)).outside == encoder.encode(cohort(5, 20)).outside
