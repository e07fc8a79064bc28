"""What several variables or events make together, and how the encoder keeps all of it."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import everything
import numpy as np
import pytest
from everything import CARD, CONFIG, VARIABLES
from safetensors.numpy import load_file

from features.config import FeatureConfig
from features.derived import DerivedFeatures, matching
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.landmark import landmark_columns
from features.patients import FloatArray, Patients
from features.records import PatientRecord
from features.request import to_patients
from features.schema import CohortCard, Variable
from features.scores import score_columns

GOLDEN = Path(__file__).parents[1] / "golden" / "artifacts" / "v1"
KNOWN = everything.records(5, 24)
PATIENTS = everything.patients(KNOWN)
OTHERS = everything.patients(everything.records(6, 12))
ENCODER = PatientEncoder.fit(PATIENTS, CARD, CONFIG)


def clinical(**changes: Any) -> FeatureConfig:
    return FeatureConfig(cells=(), **changes)


def card(**variables: Variable) -> CohortCard:
    return CARD.model_copy(update={"variables": VARIABLES | variables})


# --- columns --------------------------------------------------------------------------------------


def test_derived_columns_are_those_of_their_parts() -> None:
    columns = ENCODER.columns(PATIENTS)
    expected = score_columns(PATIENTS, VARIABLES, CONFIG.scores)
    expected |= landmark_columns(PATIENTS, (), (), CONFIG.thresholds)
    for name, column in expected.items():
        np.testing.assert_array_equal(columns[name], column, err_msg=name)
    n_infections = [
        sum(e["event"] == "infection" and e["day"] <= r["landmark_day"] for e in r["events"]) for r in KNOWN
    ]
    np.testing.assert_array_equal(columns["prior infection:count"], n_infections)
    assert len(set(n_infections)) > 1


def test_nothing_is_derived_unless_it_is_asked_for() -> None:
    derived = DerivedFeatures.fit(PATIENTS, VARIABLES, FeatureConfig(events=()))
    assert derived == DerivedFeatures()
    assert derived.columns(PATIENTS, VARIABLES) == {}


def test_inputs_are_named_once_for_requests() -> None:
    """What a score, a grade or a threshold takes may be brought even if it is no feature by itself."""
    encoder = PatientEncoder.fit(PATIENTS, CARD, clinical(baseline=("age",), measurements=(), scores=("easix",)))
    assert encoder.baseline_inputs == ("age", "ldh", "platelets_before")
    assert encoder.measured_inputs == ("creatinine", "platelets")
    graded = PatientEncoder.fit(PATIENTS, CARD, clinical(baseline=(), measurements=(), grades=("icaht", "t_icaht")))
    assert graded.measured_inputs == ("anc", "platelets")
    assert graded.baseline_inputs == ()
    assert set(graded.variables) == {"anc", "platelets"}


def test_inflamix_is_fitted_on_the_laboratory_values_there_are() -> None:
    """Also where some of its fourteen are no analyte known here, and are found by their name."""
    mixture = ENCODER.derived.inflamix
    assert mixture is not None
    assert mixture.labs == ("albumin", "hemoglobin", "crp", "ldh", "ferritin", "platelets")
    assert mixture.variables == ("albumin", "haemoglobin", "crp_before", "ldh", "ferritin", "platelets_before")
    il10 = np.random.default_rng(0).lognormal(1, 1, len(PATIENTS))
    more = replace(PATIENTS, baseline={**PATIENTS.baseline, "il10": il10})
    known = card(il10=Variable(kind="numeric", unit="pg/mL"))
    fitted = PatientEncoder.fit(more, known, clinical(inflamix=True)).derived.inflamix
    assert fitted is not None
    assert "il10" in fitted.labs
    absent = PatientEncoder.fit(PATIENTS, known, clinical(inflamix=True)).derived.inflamix
    assert absent is not None
    assert "il10" not in absent.labs, "declared and never measured"


def test_each_column_has_its_place_in_a_record() -> None:
    """A baseline variable whose name begins like that of a column of events is none of them."""
    prior: FloatArray = np.arange(len(PATIENTS), dtype=np.float64) % 5.0
    prior[3] = np.nan
    patients = replace(PATIENTS, baseline={**PATIENTS.baseline, "prior lines": prior})
    known = card(**{"prior lines": Variable(kind="numeric")})
    config = clinical(scores=("easix",), inflamix=True)
    encoder = PatientEncoder.fit(patients, known, config)
    places = {name: encoder._place(name) for name in encoder.columns(patients)}
    assert places["prior lines"] == "baseline.prior lines"
    assert places["prior infection:count"] == "events.infection:count"
    assert places["easix"] == "scores.easix"
    assert places["inflamix"] == "scores.inflamix"
    assert places["anc:last"] == "measurements.anc:last"
    assert "baseline.prior lines" in encoder.encode(patients).missing[3]


def test_a_patient_without_events_lacks_nothing() -> None:
    quiet = copy.deepcopy(KNOWN[:3])
    for record in quiet:
        record["events"] = []
    encoded = ENCODER.encode(everything.patients(quiet))
    assert not any(name.startswith("events.") for row in encoded.missing for name in row)


def test_a_score_that_cannot_be_computed_is_said_to_be_missing() -> None:
    poor = copy.deepcopy(KNOWN[:1])
    poor[0]["baseline"]["ldh"] = None
    assert "scores.easix" in ENCODER.encode(everything.patients(poor)).missing[0]


# --- what cannot be --------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Variable], str]] = {
    "no analyte": (
        {"grades": ("icaht",)},
        {"anc": Variable(kind="numeric", unit="mg/L", analyte="crp")},
        "icaht needs",
    ),
    "a unit that counts nothing": (
        {"grades": ("icaht",)},
        {"anc": Variable(kind="numeric", unit="mg/L", analyte="anc")},
        r"features\.grades: icaht needs counts of cells, as in 10\*9/L, and anc is in 'mg/L'\. Correct its unit",
    ),
    "a score's input in another dimension": (
        {"scores": ("easix",)},
        {"ldh": Variable(kind="numeric", unit="kg")},
        r"features\.scores: score easix: variable ldh cannot be read as ldh in U/L",
    ),
}


@pytest.mark.parametrize(("config", "variables", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_cohort_cannot_give_is_refused_with_its_place(
    config: dict[str, Any], variables: dict[str, Variable], message: str
) -> None:
    with pytest.raises(SequelaError, match=message):
        PatientEncoder.fit(PATIENTS, card(**variables), clinical(**config))


@pytest.mark.parametrize("name", ["easix", "inflamix"])
def test_a_variable_with_the_name_of_a_computed_feature_is_refused(name: str) -> None:
    """One of the two would silently take the other's place."""
    patients = replace(PATIENTS, baseline={**PATIENTS.baseline, name: np.arange(24.0)})
    known = card(**{name: Variable(kind="numeric")})
    with pytest.raises(SequelaError, match=f"the variable '{name}' has the name of a feature .* Rename it"):
        PatientEncoder.fit(patients, known, clinical(scores=("easix",), inflamix=True))
    alone = PatientEncoder.fit(patients, known, clinical())
    assert name in alone.feature_names
    assert alone._place(name) == f"baseline.{name}"


def test_patterns_choose_names_in_their_own_order() -> None:
    names = ["cd8", "cd4", "CD4", "age"]
    assert matching(names, ["cd*"], "features.baseline") == ["cd8", "cd4"]
    assert matching(names, ["*"], "features.baseline") == names
    assert matching(names, ["age", "cd4"], "features.baseline") == ["cd4", "age"]
    assert matching([], ["*"], "features.baseline") == []
    with pytest.raises(
        SequelaError, match=r"features\.events: no event of the cohort matches 'cd5'; did you mean cd8\?"
    ):
        matching(names, ["cd5"], "features.events", "event")
    with pytest.raises(SequelaError, match=r"matches 'x'; there are none\. Leave it out\."):
        matching([], ["x"], "features.events", "event")


# --- state ----------------------------------------------------------------------------------------


def stored(encoder: PatientEncoder) -> PatientEncoder:
    """The encoder through JSON without NaN, and arrays through a file's bytes."""
    sizes, arrays = encoder.state()
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as found:
        copies = {name: found[name].copy() for name in found.files}
    return PatientEncoder.from_state(json.loads(json.dumps(sizes, allow_nan=False)), copies)


@pytest.mark.parametrize(
    "config",
    [CONFIG, clinical(inflamix=True), FeatureConfig(), CONFIG.model_copy(update={"cells": ("clonality",)})],
    ids=["everything", "clinic and mixture", "as configured by default", "clones alone"],
)
def test_an_encoder_that_was_stored_is_the_same_to_the_last_bit(config: FeatureConfig) -> None:
    encoder = PatientEncoder.fit(PATIENTS, CARD, config)
    again = stored(encoder)
    assert again.feature_names == encoder.feature_names
    assert again.derived.events == encoder.derived.events
    for who in (PATIENTS, OTHERS):
        before, after = encoder.encode(who), stored(again).encode(who)
        assert after.x.tobytes() == before.x.tobytes()
        for report in ("missing", "outside", "impossible", "unseen"):
            assert getattr(after, report) == getattr(before, report)
        columns = again.columns(who)
        for name, column in encoder.columns(who).items():
            assert columns[name].tobytes() == column.tobytes(), name


def test_clones_alone_need_no_cells() -> None:
    """A study of integration sites has samples without cells: what looks at cells is then left out."""
    samples = PATIENTS.samples
    assert samples is not None
    without = replace(
        PATIENTS, samples=replace(samples, summary=samples.summary.take(np.full(len(samples.day), -1)), bags=None)
    )
    config = CONFIG.model_copy(update={"cells": ("composition", "pseudobulk", "programs", "clonality", "density")})
    encoder = PatientEncoder.fit(without, CARD, config)
    assert "blood:integration:shannon" in encoder.feature_names
    assert not any(part in name for name in encoder.feature_names for part in ("pseudobulk", "density", "clr("))
    np.testing.assert_array_equal(stored(encoder).transform(without), encoder.transform(without))


def test_an_encoder_of_the_first_format_is_read() -> None:
    """It knows nothing of derived features, of processing, of variable genes, or of levels seen."""
    manifest = json.loads((GOLDEN / "manifest.json").read_text("utf-8"))
    state = manifest["model"]["encoder"]
    assert not {"derived", "processing"} & set(state)
    assert not {"variable_genes", "human_genes"} & set(state["samples"])
    weights = load_file(GOLDEN / "weights.safetensors")
    arrays: dict[str, FloatArray] = {
        name.removeprefix("encoder/"): array for name, array in weights.items() if name.startswith("encoder/")
    }
    encoder = PatientEncoder.from_state(state, arrays)
    assert list(encoder.feature_names) == manifest["features"]
    assert encoder.derived == DerivedFeatures()
    assert encoder.processor is None
    assert encoder.samples is not None
    assert encoder.samples.variable_genes == encoder.samples.genes
    record = PatientRecord.model_validate(manifest["example"]["patient"])
    encoded = encoder.encode(to_patients([record], encoder))
    assert encoded.x.shape == (1, len(manifest["features"]))
    assert np.isfinite(encoded.x).all()
    assert encoded.unseen == ((),)
    assert stored(encoder).transform(to_patients([record], encoder)).tobytes() == encoded.x.tobytes()


def test_the_state_of_today_without_what_is_new_is_one_of_the_first_format() -> None:
    encoder = PatientEncoder.fit(PATIENTS, CARD, FeatureConfig(events=()))
    sizes, arrays = encoder.state()
    for name in ("derived", "processing"):
        del sizes[name]
    for name in ("human_genes", "variable_genes"):
        del sizes["samples"][name]
    del sizes["baseline"]["seen"]
    old = PatientEncoder.from_state(sizes, arrays)
    np.testing.assert_array_equal(old.transform(OTHERS), encoder.transform(OTHERS))


# --- baseline levels --------------------------------------------------------------------------------


def staged(stage: object, product: object = "axi-cel") -> Patients:
    one = everything.patients(KNOWN[:1])
    levels = {"stage": np.array([stage], dtype=object), "product": np.array([product], dtype=object)}
    return replace(one, baseline={**one.baseline, **levels})


def test_a_declared_level_between_those_of_training_is_flagged() -> None:
    """Stage II is encoded by its rank, between I and III; nobody in training had it, and the report says so."""
    assert set(PATIENTS.baseline["stage"]) == {None, "I", "III", "IV"}
    encoded = ENCODER.encode(staged("II"))
    assert encoded.unseen == (("stage",),)
    assert not {"baseline.stage"} & {*encoded.missing[0], *encoded.outside[0]}
    place = ENCODER.feature_names.index("stage")
    rank = [ENCODER.transform(staged(stage))[0, place] for stage in ("I", "II", "III")]
    assert rank[0] < rank[1] < rank[2]
    assert ENCODER.encode(staged("III")).unseen == ((),)
    assert ENCODER.encode(staged(None)).unseen == ((),)


@pytest.mark.parametrize("missing", [float("nan"), np.float64("nan"), np.float32("nan"), None], ids=repr)
def test_nan_among_levels_is_missing(missing: object) -> None:
    """pandas writes missing text as NaN: it is no level of that name."""
    encoded, expected = ENCODER.encode(staged(missing, missing)), ENCODER.encode(staged(None, None))
    assert encoded.unseen == ((),)
    assert {"baseline.stage", "baseline.product"} <= set(encoded.missing[0])
    np.testing.assert_array_equal(encoded.x, expected.x)
    baseline = dict(PATIENTS.baseline)
    for name in ("stage", "product"):
        baseline[name] = np.array([missing if v is None else v for v in baseline[name]], dtype=object)
    fitted = PatientEncoder.fit(replace(PATIENTS, baseline=baseline), CARD, CONFIG.model_copy(update={"cells": ()}))
    assert fitted.baseline == ENCODER.baseline
    assert None in set(PATIENTS.baseline["product"]), "the test has missing levels"
