"""Requests: the same patients as from a cohort, and every fault named by field, never by value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features import request as request_module
from features.cells.bag import UNLABELLED, CellBag
from features.cells.summary import CellSummary, summarise
from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.errors import InputError
from features.patients import Measurements, Patients, Samples
from features.records import PatientRecord
from features.request import requested_horizons, to_patients
from features.schema import CellsCard, CohortCard, Endpoint, Variable

GENES = ("CD3E", "PDCD1", "LAG3")
CARD = CohortCard(
    title="t",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={
        "age": Variable(kind="numeric", unit="a", range=(0, 120)),
        "weight": Variable(kind="numeric", unit="kg"),
        "stage": Variable(kind="ordinal", levels=("I", "II", "III")),
        "product": Variable(kind="categorical"),
        "ferritin": Variable(kind="numeric", unit="ug/L", range=(0, 1e6)),
    },
    cells=CellsCard(),
)
SENTINEL = 8675309.125
"""A value that stands nowhere else: it must not come back in a message."""
SENTINEL_TEXT = "Erika Mustermann"


def bag(rng: np.random.Generator) -> CellBag:
    counts = rng.poisson(3.0, (10, 3)).astype(float)
    cell, gene = np.nonzero(counts)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=10))])
    return CellBag(GENES, indptr, gene, counts[cell, gene], np.array(["B", "T"] * 5, dtype=object))


def cohort() -> Patients:
    """Twenty patients with everything."""
    rng, n = np.random.default_rng(0), 20
    samples = Samples(
        np.arange(n + 1),
        np.array([f"s{i}" for i in range(n)], dtype=object),
        np.full(n, -5.0),
        np.full(n, "infusion_product", dtype=object),
        CellSummary.concatenate([summarise(bag(rng), counts=True) for _ in range(n)]),
    )
    zeros = np.zeros(n, dtype=np.int64)
    ferritin = Measurements.from_columns(n, np.arange(n), ("ferritin",), zeros, np.zeros(n), rng.lognormal(5, 1, n))
    baseline: dict[str, Any] = {
        "age": rng.normal(60, 9, n),
        "weight": rng.normal(75, 9, n),
        "stage": rng.choice(np.array(["I", "II", "III"], dtype=object), n),
        "product": rng.choice(np.array(["axi-cel", "tisa-cel"], dtype=object), n),
    }
    return Patients(np.array([f"p{i}" for i in range(n)], dtype=object), np.zeros(n), baseline, ferritin, samples)


ENCODER = PatientEncoder.fit(cohort(), CARD, FeatureConfig())
CLINICAL = PatientEncoder.fit(cohort(), CARD, FeatureConfig(cells=(), measurements=()))
SAMPLE: dict[str, Any] = {
    "material": "infusion_product",
    "day": -5,
    "genes": ["PDCD1", "CD3E", "XIST"],
    "indptr": [0, 2, 2, 3],
    "indices": [1, 0, 1],
    "values": [4, 2, 7],
    "cell_types": ["T", "B", "T"],
}


def patients(*records: dict[str, Any], encoder: PatientEncoder = ENCODER) -> Patients:
    return to_patients([PatientRecord.model_validate(record) for record in records], encoder)


def sample(**changes: Any) -> dict[str, Any]:
    return {"samples": [SAMPLE | changes]}


def measurement(**changes: Any) -> dict[str, Any]:
    return {"measurements": [{"variable": "ferritin", "day": 0, "value": 300} | changes]}


def test_a_cohorts_patients_come_through_a_request_unchanged() -> None:
    """Training and serving see the same matrix."""
    known = cohort()
    rng = np.random.default_rng(0)
    records = []
    for i in range(len(known)):
        cells = bag(rng)
        records.append(
            {
                "patient_id": known.patient_id[i],
                "baseline": {name: column[i] for name, column in known.baseline.items()},
                "measurements": [{"variable": "ferritin", "day": 0, "value": known.measurements.value[i]}],
                "samples": [
                    {
                        "material": "infusion_product",
                        "day": -5,
                        "genes": cells.genes,
                        "indptr": cells.indptr.tolist(),
                        "indices": cells.indices.tolist(),
                        "values": cells.values.tolist(),
                        "cell_types": cells.cell_type.tolist(),
                    }
                ],
            }
        )
    served = patients(*records)
    assert served.patient_id.tolist() == known.patient_id.tolist()
    np.testing.assert_allclose(ENCODER.transform(served), ENCODER.transform(known), atol=1e-12)


def test_units_are_converted() -> None:
    served = patients(
        {"baseline": {"age": {"value": 732, "unit": "mo"}, "weight": {"value": 70500, "unit": "g"}}},
        measurement(value=0.9, unit="mg/L"),
        measurement(value=900),
    )
    assert served.baseline["age"][0] == pytest.approx(61.0)
    assert served.baseline["weight"][0] == pytest.approx(70.5)
    assert served.measurements.value.tolist() == pytest.approx([900.0, 900.0])
    assert served.measurements.offsets.tolist() == [0, 0, 1, 2]


def test_units_are_converted_by_the_analyte() -> None:
    """A hospital that reports moles is answered by a model that was trained on mass, and the other way round."""
    variables = {
        "creatinine": Variable(kind="numeric", unit="mg/dL", range=(0.1, 20)),
        "x": Variable(kind="numeric", unit="mmol/L", analyte="haemoglobin"),
        "y": Variable(kind="numeric", unit="ug/mL{FEU}", loinc="48065-7"),
        "temperature": Variable(kind="numeric", unit="Cel"),
        "kidney": Variable(kind="numeric", unit="mg/dL"),
    }
    rng, n = np.random.default_rng(0), 20
    baseline: dict[str, Any] = {name: rng.normal(9, 1, n) for name in variables}
    zeros = np.zeros(n, dtype=np.int64)
    measured = Measurements.from_columns(n, np.arange(n), ("creatinine",), zeros, np.zeros(n), rng.lognormal(0, 1, n))
    trained = Patients(np.array([f"p{i}" for i in range(n)], dtype=object), np.zeros(n), baseline, measured)
    encoder = PatientEncoder.fit(trained, CARD.model_copy(update={"variables": variables}), FeatureConfig())
    encoder = PatientEncoder.from_state(*encoder.state())
    given = {
        "creatinine": {"value": 113.12, "unit": "umol/L"},
        "x": {"value": 16.1145, "unit": "g/dL"},
        "y": {"value": 400, "unit": "ng/mL{DDU}"},
        "temperature": {"value": 98.6, "unit": "[degF]"},
    }
    record = {
        "baseline": given,
        "measurements": [{"variable": "creatinine", "day": 0, "value": 113.12, "unit": "umol/L"}],
    }
    served = patients(record, encoder=encoder)
    expected = {"creatinine": 1.27961344, "x": 10.0, "y": 0.8, "temperature": 37.0}
    for name, value in expected.items():
        assert served.baseline[name].astype(float)[0] == pytest.approx(value, rel=1e-12)
    assert served.measurements.value.tolist() == pytest.approx([1.27961344])
    with pytest.raises(
        InputError, match=r"baseline\.kidney\.unit: .* by the molar mass of the analyte, which is not"
    ) as error:
        patients({"baseline": {"kidney": {"value": SENTINEL, "unit": "umol/L"}}}, encoder=encoder)
    assert error.value.field == "patients[0].baseline.kidney.unit"
    assert "8675309" not in str(error.value)
    with pytest.raises(InputError, match=r"outside the possible range \[0\.1, 20\] mg/dL; check its unit"):
        patients({"baseline": {"creatinine": {"value": 5000, "unit": "umol/L"}}}, encoder=encoder)


def test_what_is_absent_or_null_is_missing() -> None:
    served = patients({}, {"baseline": {"age": None, "stage": None}})
    assert list(served.baseline) == ["age", "weight", "stage", "product"]
    assert np.isnan(served.baseline["age"].astype(float)).all()
    assert served.baseline["stage"].tolist() == [None, None]
    assert served.samples is None
    assert len(served.measurements.value) == 0
    assert served.landmark_day.tolist() == [0.0, 0.0]


def test_no_patients() -> None:
    assert len(patients()) == 0


def test_an_unseen_level_is_taken_where_levels_are_not_declared() -> None:
    assert patients({"baseline": {"product": "new-cel"}}).baseline["product"].tolist() == ["new-cel"]


def test_samples_are_ordered_by_day_within_patients() -> None:
    later, before = SAMPLE | {"day": 20}, SAMPLE | {"values": [1, 1, 1]}
    served = patients({"samples": [later, before]}, {}, {"samples": [before]}).samples
    assert served is not None
    assert served.offsets.tolist() == [0, 2, 2, 3]
    assert served.day.tolist() == [-5.0, 20.0, -5.0]
    sums = served.summary.aligned(("B", "T"), GENES)
    assert sums.total.sum(axis=(1, 2)).tolist() == [3.0, 13.0, 3.0]


def test_cells_are_summarised_by_type() -> None:
    served = patients(sample()).samples
    assert served is not None
    summary = served.summary.aligned(("B", "T"), GENES)
    assert summary.n_cells.tolist() == [[1.0, 2.0]]
    assert summary.total.tolist() == [[[0.0, 0.0, 0.0], [11.0, 2.0, 0.0]]]
    unlabelled = patients(sample(cell_types=None)).samples
    assert unlabelled is not None
    assert unlabelled.summary.cell_types == (UNLABELLED,)


def test_cells_without_any_count_are_no_fault() -> None:
    served = patients(sample(indptr=[0, 0, 0, 0], indices=[], values=[])).samples
    assert served is not None
    assert served.summary.n_cells.sum() == 3
    assert np.isfinite(ENCODER.transform(patients(sample(indptr=[0, 0, 0, 0], indices=[], values=[])))).all()


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown variable": (
        {"baseline": {"shoe_size": SENTINEL}},
        "baseline.shoe_size",
        "is no baseline variable of this model; it knows age, weight, stage, product",
    ),
    "text for a number": (
        {"baseline": {"age": SENTINEL_TEXT}},
        "baseline.age",
        "is text; the variable is numeric, in a",
    ),
    "out of range": (
        {"baseline": {"age": SENTINEL}},
        "baseline.age",
        r"is outside the possible range \[0, 120\] a; check its unit",
    ),
    "out of range in another unit": (
        {"baseline": {"age": {"value": SENTINEL, "unit": "mo"}}},
        "baseline.age",
        r"is outside the possible range",
    ),
    "unknown unit": (
        {"baseline": {"age": {"value": SENTINEL, "unit": "parsec"}}},
        "baseline.age.unit",
        "is not a UCUM unit known here",
    ),
    "incommensurable unit": (
        {"baseline": {"age": {"value": SENTINEL, "unit": "kg"}}},
        "baseline.age.unit",
        "does not convert to 'a'",
    ),
    "too large once converted": (
        {"baseline": {"weight": {"value": 1e308, "unit": "10*3.kg"}}},
        "baseline.weight",
        "is too large once it is in kg",
    ),
    "number for an ordinal": (
        {"baseline": {"stage": SENTINEL}},
        "baseline.stage",
        "is a number; the variable is ordinal and takes text",
    ),
    "quantity for a categorical": (
        {"baseline": {"product": {"value": SENTINEL, "unit": "1"}}},
        "baseline.product",
        "is a number; the variable is categorical and takes text",
    ),
    "unknown level": (
        {"baseline": {"stage": SENTINEL_TEXT}},
        "baseline.stage",
        "is not one of the levels I, II, III",
    ),
    "unknown measurement": (
        measurement(variable="crp", value=SENTINEL),
        r"measurements[0].variable",
        "is not measured in this model; it knows ferritin",
    ),
    "measurement out of range": (
        measurement(value=SENTINEL),
        r"measurements[0].value",
        r"is outside the possible range \[0, 1e\+06\] ug/L",
    ),
    "measurement in a wrong unit": (
        measurement(value=SENTINEL, unit="mmol/L"),
        r"measurements[0].value.unit",
        "does not convert to 'ug/L'",
    ),
    "unknown material": (
        sample(material=SENTINEL_TEXT),
        "samples[0].material",
        "is unknown; the model knows infusion_product",
    ),
    "no known gene": (
        sample(genes=["XIST", "ACTB", "TTN"]),
        "samples[0].genes",
        "hold 0% of the model's genes, e.g. CD3E, PDCD1, LAG3; at least 50% are needed",
    ),
    "repeated gene": (sample(genes=["CD3E", "CD3E", "LAG3"]), "samples[0].genes", "names a gene twice"),
    "indptr begins elsewhere": (sample(indptr=[1, 2, 2, 3]), "samples[0].indptr", "must begin with 0, not decrease"),
    "indptr decreases": (sample(indptr=[0, 2, 1, 3]), "samples[0].indptr", "must begin with 0, not decrease"),
    "indptr ends elsewhere": (sample(indptr=[0, 2, 2, 4]), "samples[0].indptr", "end with the number of values"),
    "indptr is immense": (sample(indptr=[0, 2, 2, 2**70]), "samples[0].indptr", "must be integers of 64 bits"),
    "indices too few": (sample(indices=[1, 0]), "samples[0].indices", "must be one for each value"),
    "index too large": (sample(indices=[1, 0, 3]), "samples[0].indices", "each a position in genes"),
    "index negative": (sample(indices=[1, 0, -1]), "samples[0].indices", "each a position in genes"),
    "index is immense": (sample(indices=[1, 0, -(2**70)]), "samples[0].indices", "must be integers of 64 bits"),
    "gene twice in a cell": (sample(indices=[1, 1, 1]), "samples[0].indices", "at most once in a cell"),
    "labels too few": (
        sample(cell_types=["T", SENTINEL_TEXT]),
        "samples[0].cell_types",
        "must be one for each of the 3 cells",
    ),
    "half a count": (sample(values=[4, SENTINEL, 7]), "samples[0].values", "must be raw counts: whole numbers"),
    "negative count": (sample(values=[4, -3, 7]), "samples[0].values", "every raw count at least 0"),
}


@pytest.mark.parametrize(("record", "field", "rule"), FAULTS.values(), ids=FAULTS)
def test_faults_are_named_by_field_and_not_by_value(record: dict[str, Any], field: str, rule: str) -> None:
    with pytest.raises(InputError, match=rule) as caught:
        patients({}, record)
    assert caught.value.field == f"patients[1].{field}"
    assert str(caught.value).startswith(f"patients[1].{field}: ")
    for value in ("8675309", "867530", SENTINEL_TEXT, "e+308"):
        assert value not in str(caught.value)


def test_every_input_error_of_the_module_is_tested_here() -> None:
    """Each `raise InputError` is reached by one of the cases above, or by the tests of models without cells."""
    reached: set[int] = set()
    for record, encoder in [
        *((record, ENCODER) for record, *_ in FAULTS.values()),
        (sample(), CLINICAL),
        ({"samples": [SAMPLE | {"values": [1]}]}, ENCODER),
    ]:
        with pytest.raises(InputError, match=r"patients\[0\]") as caught:
            patients(record, encoder=encoder)
        reached |= {entry.lineno + 1 for entry in caught.traceback if str(entry.path).endswith("features/request.py")}
    with open(request_module.__file__, encoding="utf-8") as source:  # noqa: PTH123
        lines = [i for i, line in enumerate(source, start=1) if line.lstrip().startswith("raise InputError(")]
    unreached = [line for line in lines if line not in reached]
    assert len(unreached) <= 3, f"lines {unreached} of request.py: MAX_VALUES, horizons, a guard for the type checker"


@pytest.mark.parametrize("days", [[0.0], [-1.0], [90, 30], [400], [float("nan")]], ids=str)
def test_horizons_that_no_model_was_trained_for_are_refused(days: list[float]) -> None:
    endpoint = Endpoint.model_validate({"name": "a", "event": {"name": "b"}, "horizons_days": [90, 365]})
    with pytest.raises(InputError, match="must ascend from above 0 to at most 365 days"):
        requested_horizons(days, endpoint)
    assert requested_horizons(None, endpoint) == (90, 365)
    assert requested_horizons([10, 365], endpoint) == (10, 365)


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "MAX_VALUES", 2)
    with pytest.raises(InputError, match=r"samples\[0\]\.values: holds more than 2 values; send fewer cells"):
        patients(sample())


def test_a_model_without_cells_or_measurements_takes_none() -> None:
    with pytest.raises(InputError, match=r"patients\[0\]\.samples\[0\]: this model uses no cells; leave samples out"):
        patients(sample(), encoder=CLINICAL)
    with pytest.raises(InputError, match=r"measurements\[0\]\.variable: is not measured in this model; it knows none"):
        patients(measurement(), encoder=CLINICAL)
    assert len(patients({"baseline": {"age": 61}}, encoder=CLINICAL)) == 1


def test_only_a_few_names_are_listed() -> None:
    many = {f"v{i:02d}": Variable(kind="numeric") for i in range(12)}
    baseline: dict[str, Any] = {name: np.arange(5.0) * (i + 1) ** 2 for i, name in enumerate(many)}
    five = Patients(np.array(list("abcde"), dtype=object), np.zeros(5), baseline, Measurements.empty(5))
    encoder = PatientEncoder.fit(five, CARD.model_copy(update={"variables": many}), FeatureConfig())
    with pytest.raises(InputError, match=r"it knows v00, v01, v02, v03, v04, v05, v06, v07, … \(12 in all\)$"):
        patients({"baseline": {"age": 1}}, encoder=encoder)


@given(
    value=st.floats(1e7, 1e300) | st.floats(-1e300, -1e7),
    name=st.sampled_from(["age", "stage", "product", "shoe_size"]),
    place=st.sampled_from(["baseline", "measurements", "values"]),
)
def test_no_value_is_ever_in_a_message(value: float, name: str, place: str) -> None:
    value += 0.1234567
    record = {
        "baseline": {"baseline": {name: value}},
        "measurements": measurement(value=value),
        "values": sample(values=[1, -abs(value), 1]),
    }[place]
    with pytest.raises(InputError, match=r"^patients\[0\]\.") as caught:
        patients(record)
    digits = f"{abs(value):.17e}".replace(".", "")[:6]
    assert digits not in str(caught.value).replace(".", "")
    assert repr(value) not in str(caught.value)


@given(st.text(min_size=9, alphabet=st.characters(min_codepoint=0x3B1, max_codepoint=0x3C9)))
def test_no_text_is_ever_in_a_message(text: str) -> None:
    for record in ({"baseline": {"age": text}}, {"baseline": {"stage": text}}, sample(material=text)):
        with pytest.raises(InputError, match=r"^patients\[0\]\.") as caught:
            patients(record)
        assert text not in str(caught.value)


@pytest.mark.parametrize(
    "record",
    [
        {"baseline": {"age": math.nan}},
        {"baseline": {"age": {"value": math.inf, "unit": "a"}}},
        {"landmark_day": math.nan},
        measurement(value=math.nan),
        measurement(day=math.inf),
        sample(values=[1, math.nan, 1]),
        sample(genes=[]),
        sample(indptr=[0]),
        {"landmark": 3},
        measurement(dose=SENTINEL),
        {"baseline": {"age": [SENTINEL]}},
    ],
    ids=[
        "NaN",
        "infinite quantity",
        "NaN landmark",
        "NaN measurement",
        "infinite day",
        "NaN count",
        "no genes",
        "no cells",
        "unknown field",
        "unknown field of a measurement",
        "a list for a number",
    ],
)
def test_what_is_no_record_is_refused_without_its_value(record: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="validation error") as caught:
        PatientRecord.model_validate(record)
    assert "8675309" not in str(caught.value)
    assert "nan" not in str(caught.value).lower()
