from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from counted import counts_for

import serving.answer
from features.cells.summary import CellSummary
from features.config import FeatureConfig
from features.errors import InputError
from features.novelty import Novelty
from features.records import PatientRecord
from features.schema import CohortCard, EventRule
from serving.answer import answer, blocks, ignored
from serving.card import model_card, worked_example
from serving.messages import PredictAnswer, PredictRequest
from training.artifact.folder import Artifact, model_block
from training.config import AalenJohansenConfig, CoxConfig, TrainerConfig, WithIntervalsConfig
from training.fit import fit_risk_model
from training.models.risk_model import FittedRiskModel


def request_of(records: list[Any], **rest: Any) -> PredictRequest:
    return PredictRequest.model_validate({"patients": records, **rest})


def incidences(given: PredictAnswer) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([list(prediction.incidence.values()) for prediction in given.predictions])


def test_the_answer_is_that_of_the_model_that_was_fitted(
    cohort: Any, fitted: FittedRiskModel, artifact: Artifact
) -> None:
    times = [10.0, 90.0, 364.5]
    given = answer(artifact, "sequela:x", request_of(cohort.records, horizons_days=times))
    expected = fitted.predict_incidence(cohort.patients, np.array(times))
    np.testing.assert_allclose(incidences(given), expected.values, rtol=0, atol=1e-6)
    np.testing.assert_allclose([p.event_free for p in given.predictions], expected.event_free, rtol=0, atol=1e-6)
    assert [p.patient_id for p in given.predictions] == list(cohort.patients.patient_id)
    assert all(p.horizons_days == tuple(times) for p in given.predictions)


def test_blocks_change_nothing(cohort: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of(cohort.records)
    whole = answer(artifact, "v", request)
    monkeypatch.setattr(serving.answer, "BLOCK_SUMS", 200)
    assert len(list(blocks(request.patients))) > len(cohort.records) / 4
    numbers = {"predictions": {"__all__": {"incidence", "event_free", "expected_events"}}}
    assert answer(artifact, "v", request).model_dump(exclude=numbers) == whole.model_dump(exclude=numbers)
    np.testing.assert_allclose(incidences(answer(artifact, "v", request)), incidences(whole), rtol=0, atol=1e-6)


def test_blocks_cover_every_patient_once_and_count_rows(cohort: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    records = request_of([{}] * 25).patients
    monkeypatch.setattr(serving.answer, "BLOCK_ROWS", 10)
    assert list(blocks(records)) == [(0, 10), (10, 20), (20, 25)]


def test_a_fault_in_a_later_block_names_the_patient_of_the_request(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.answer, "BLOCK_ROWS", 2)
    records = [{"baseline": {"age": 40.0}} for _ in range(6)]
    records[5] = {"baseline": {"age": 4000.0}}
    with pytest.raises(InputError, match=r"^patients\[5\]\.baseline\.age: is outside the possible range") as caught:
        answer(artifact, "v", request_of(records))
    assert "4000" not in str(caught.value)


def test_units_are_converted(artifact: Artifact) -> None:
    years, months = ({"baseline": {"age": {"value": v, "unit": u}}} for v, u in [(50.0, "a"), (600.0, "mo")])
    given = incidences(answer(artifact, "v", request_of([{"baseline": {"age": 50.0}}, years, months])))
    np.testing.assert_allclose(given[1:], given[:1].repeat(2, axis=0), atol=1e-12)


def test_horizons_default_to_those_of_the_endpoint(artifact: Artifact) -> None:
    given = answer(artifact, "v", request_of([{}]))
    assert given.predictions[0].horizons_days == artifact.manifest.endpoint.horizons_days


@pytest.mark.parametrize(
    ("horizons", "place"),
    [([0.0, 90.0], 0), ([-1.0], 0), ([90.0, 90.0], 1), ([180.0, 90.0], 1), ([90.0, 365.5], 1)],
    ids=["zero", "negative", "twice", "descending", "beyond the last"],
)
def test_horizons_that_are_refused(artifact: Artifact, horizons: list[float], place: int) -> None:
    with pytest.raises(InputError, match=rf"^horizons_days\[{place}\]: must ascend from above 0 to at most 365 days"):
        answer(artifact, "v", request_of([{}], horizons_days=horizons))


def test_the_landmark_lies_between_the_first_and_the_last(artifact: Artifact) -> None:
    records = [{"landmark_day": 7.0}, {"landmark_day": 31.0}]
    with pytest.raises(InputError, match=r"^patients\[1\]\.landmark_day: must be any day from 0 to 30: "):
        answer(artifact, "v", request_of(records))


def test_what_is_not_as_usual_is_said(artifact: Artifact) -> None:
    record = {
        "landmark_day": 0.0,
        "baseline": {"age": 99.0, "product": "never-heard-of"},
        "measurements": [{"variable": "ferritin", "day": -1.0, "value": 500.0}],
    }
    given = answer(artifact, "v", request_of([record])).predictions[0]
    assert "baseline.ecog" in given.missing
    assert "measurements.ferritin" not in given.missing
    assert given.outside_training_range == ("baseline.age",)
    assert given.unseen_levels == ("product",)
    assert given.ignored == ()


def test_how_unlike_training_a_patient_is_told_as_training_learnt_it(
    cohort: Any, fitted: FittedRiskModel, artifact: Artifact
) -> None:
    """Records through the service's door, against the matrix and the distances of training."""
    given = answer(artifact, "v", request_of(cohort.records))
    found = np.array([prediction.unlike_training for prediction in given.predictions])
    learnt = Novelty.fit(
        fitted.encoder.transform(cohort.patients), cohort.patients.patient_id, cohort.patients.landmark_day
    )
    expected = learnt.share(fitted.encoder.transform(cohort.patients), cohort.patients.landmark_day)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert 0 < found.min() < found.max() <= 1
    before = answer(replace(artifact, novelty=None), "v", request_of(cohort.records[:2]))
    assert [prediction.unlike_training for prediction in before.predictions] == [None, None]


def test_expected_numbers_are_those_of_the_model_that_was_fitted(
    cohort: Any, fitted: FittedRiskModel, artifact: Artifact
) -> None:
    """Records through the service's door, against the matrix of training; null where nothing can be expected."""
    times = [10.0, 90.0, 364.5]
    given = answer(artifact, "v", request_of(cohort.records, horizons_days=times)).predictions
    x, day = fitted.encoder.transform(cohort.patients), cohort.patients.landmark_day
    expected = counts_for(x.shape[1]).expected(x, day, np.array(times))
    np.testing.assert_allclose([one.expected_events for one in given], expected, rtol=0, atol=1e-6)
    shuffled = answer(artifact, "v", request_of(cohort.records[::-1], horizons_days=times)).predictions
    np.testing.assert_allclose([one.expected_events for one in shuffled], expected[::-1], rtol=0, atol=1e-6)
    record = {**cohort.records[0], "landmark_day": 30.0}
    before = [{"event": "infection", "day": 3.0, "grade": 3}], [{"event": "icans", "day": 30.0}]
    odd = [record | {"landmark_day": 12.5}, *(record | {"events": events} for events in before)]
    ending = artifact.manifest.endpoint.model_copy(update={"competing": (EventRule(name="icans"),)})
    ended = replace(artifact, manifest=artifact.manifest.model_copy(update={"endpoint": ending}))
    between, infected, over = answer(ended, "v", request_of(odd)).predictions
    assert (between.expected_events, over.expected_events) == (None, None)
    assert infected.expected_events is not None
    assert infected.happened == ("infection",)
    without = answer(replace(artifact, counts=None), "v", request_of(cohort.records[:2])).predictions
    assert [one.expected_events for one in without] == [None, None]


def test_nothing_after_the_landmark_enters(cohort: Any, artifact: Artifact) -> None:
    record = next(r for r in cohort.records if r["landmark_day"] == 0.0 and len(r["samples"]) == 2)
    later = deepcopy(record)
    later["measurements"].append({"variable": "ferritin", "day": 0.5, "value": 9e5})
    earlier = deepcopy(record)
    earlier["samples"] = earlier["samples"][:1]
    given = answer(artifact, "v", request_of([record, later, earlier]))
    np.testing.assert_allclose(incidences(given)[1:], incidences(given)[:1].repeat(2, axis=0), atol=1e-12)
    assert f"measurements[{len(record['measurements'])}]" in given.predictions[1].ignored
    assert "samples[1]" in given.predictions[0].ignored


def test_ignored_names_late_and_replaced_records() -> None:
    def sample(material: str, day: float) -> dict[str, Any]:
        return {"material": material, "day": day, "genes": ["A"], "indptr": [0, 0], "indices": [], "values": []}

    record = PatientRecord.model_validate(
        {
            "landmark_day": 30.0,
            "measurements": [{"variable": "x", "day": d, "value": 1.0} for d in (29.0, 30.0, 30.5)],
            "samples": [sample("blood", 28), sample("blood", 7), sample("product", 0), sample("blood", 31)],
        }
    )
    assert ignored(record) == ("measurements[2]", "samples[1]", "samples[3]")
    of_all = ignored(record, materials=tuple({sample.material for sample in record.samples}))
    late = tuple(f"samples[{j}]" for j, sample in enumerate(record.samples) if sample.day > record.landmark_day)
    assert of_all == ("measurements[2]", *late), "a model of single cells looks at every sample up to the landmark"
    assert len(of_all) < len(ignored(record))


def test_of_two_samples_of_a_day_the_later_listed_enters_as_said(cohort: Any, artifact: Artifact) -> None:
    record = deepcopy(next(r for r in cohort.records if r["landmark_day"] == 30.0 and len(r["samples"]) == 2))
    first, second = deepcopy(record["samples"][0]), {**record["samples"][1], "material": "infusion_product", "day": 0.0}
    both, only = {**record, "samples": [first, second]}, {**record, "samples": [second]}
    given = answer(artifact, "v", request_of([both, only]))
    assert given.predictions[0].ignored == (*given.predictions[1].ignored, "samples[0]")
    np.testing.assert_allclose(incidences(given)[0], incidences(given)[1], atol=1e-12)


def test_integers_beyond_64_bits_are_refused(artifact: Artifact) -> None:
    sample = {"material": "blood", "day": 0, "genes": ["G0"], "indptr": [0, 1], "indices": [2**70], "values": [1.0]}
    with pytest.raises(InputError, match=r"^patients\[0\]\.samples\[0\]\.indices: must be integers of 64 bits$"):
        answer(artifact, "v", request_of([{"samples": [sample]}]))


def test_a_sample_without_a_value_is_refused(artifact: Artifact) -> None:
    sample = {"material": "blood", "day": 0, "genes": ["G0"], "indptr": [0, 0], "indices": [], "values": []}
    with pytest.raises(InputError, match=r"^patients\[0\]\.samples\[0\]\.values: must hold at least one value"):
        answer(artifact, "v", request_of([{"samples": [sample]}]))


def test_labels_that_would_not_fit_in_memory_are_refused(artifact: Artifact) -> None:
    n, genes = 3_000, ["G0", *(f"X{i}" for i in range(2_000))]
    sample = {"material": "blood", "day": 0, "genes": genes, "indptr": [0, *[1] * n], "indices": [0], "values": [1.0]}
    sample["cell_types"] = [f"t{i}" for i in range(n)]
    with pytest.raises(InputError, match=r"^patients\[0\]\.samples\[0\]\.cell_types: may hold at most 1,999 different"):
        answer(artifact, "v", request_of([{"samples": [sample]}]))


@pytest.fixture(scope="module")
def without_cells(cohort: Any, card: CohortCard, artifact: Artifact) -> Artifact:
    """The Aalen-Johansen model, fitted on the same patients without their cells."""
    model = fit_risk_model(
        replace(cohort.patients, samples=None),
        cohort.outcomes,
        card,
        FeatureConfig(),
        AalenJohansenConfig(),
        TrainerConfig(accelerator="cpu"),
        seed=1,
    )
    block, _ = model_block(model)
    return Artifact(artifact.manifest.model_copy(update={"model": block}), model)


def test_a_model_with_intervals_answers_them(cohort: Any, card: CohortCard, artifact: Artifact) -> None:
    model = fit_risk_model(
        replace(cohort.patients, samples=None),
        cohort.outcomes,
        card,
        FeatureConfig(),
        WithIntervalsConfig(model=CoxConfig(penalty=20.0), refits=3),
        TrainerConfig(accelerator="cpu"),
        seed=1,
    )
    certain = Artifact(artifact.manifest.model_copy(update={"model": model_block(model)[0]}), model)
    records = [{**record, "samples": []} for record in cohort.records[:5]]
    given = answer(certain, "v", request_of(records, horizons_days=[30.0, 364.5]))
    for prediction in given.predictions:
        assert prediction.interval is not None
        assert list(prediction.interval) == list(prediction.incidence)
        for cause, ends in prediction.interval.items():
            for (low, high), risk in zip(ends, prediction.incidence[cause], strict=True):
                assert 0 <= low < risk < high <= 1
    assert all(p.interval is None for p in answer(artifact, "v", request_of(cohort.records[:2])).predictions)


def test_a_model_without_cells_refuses_samples(cohort: Any, without_cells: Artifact) -> None:
    record = next(r for r in cohort.records if r["samples"])
    with pytest.raises(InputError, match=r"^patients\[0\]\.samples\[0\]: this model uses no cells"):
        answer(without_cells, "v", request_of([record]))
    assert model_card(without_cells, "v").cells is None


def test_the_card_says_what_the_model_takes(artifact: Artifact) -> None:
    card = model_card(artifact, "sequela:v")
    variables = {variable.name: variable for variable in card.variables}
    assert variables["age"].given_as == ("baseline",)
    assert (variables["age"].unit, variables["age"].range) == ("a", (18, 100))
    assert variables["ferritin"].given_as == ("measurements",)
    assert variables["ferritin"].loinc == "2276-4"
    assert variables["ecog"].levels == ("0", "1", "2")
    assert variables["product"].levels == ("axi-cel", "ide-cel", "tisa-cel")  # not declared: as seen in training
    assert card.cells is not None
    assert set(card.cells.materials) == {"blood", "infusion_product"}
    assert card.cells.cell_types == ("CD4 T", "CD8 T", "monocyte")
    assert card.training_cohort.provenance == "simulated"
    assert card.causes == ("infection", "death")


def test_the_worked_example_is_the_manifests(artifact: Artifact) -> None:
    example = worked_example(artifact, "sequela:v")
    assert example.answer == answer(artifact, "sequela:v", example.request)
    stored = np.array(artifact.manifest.example.incidence)
    np.testing.assert_allclose(incidences(example.answer)[0], stored, rtol=0, atol=1e-6)


def test_an_example_that_the_service_would_refuse_is_no_example(artifact: Artifact) -> None:
    example = artifact.manifest.example
    odd = example.model_copy(update={"patient": example.patient.model_copy(update={"landmark_day": 31.0})})
    manifest = artifact.manifest.model_copy(update={"example": odd})
    with pytest.raises(InputError, match=r"landmark_day: must be any day from 0 to 30"):
        model_card(Artifact(manifest, artifact.model), "v")


def clone(name: str = "a") -> dict[str, Any]:
    return {"locus": "tcr", "clone": name, "abundance": 1.0}


def test_the_model_of_these_tests_has_columns_of_every_kind(artifact: Artifact) -> None:
    names = set(artifact.model.encoder.feature_names)
    expected = {"car_hematotox", "anc:early_icaht", "platelets:early_t_icaht", "anc:days_below_500"}
    expected |= {"prior infection:count", "blood:tcr:gini", "infusion_product:integration:near_oncogene_share"}
    assert expected <= names


@pytest.mark.parametrize("part", ["events", "clones", "anc", "haemoglobin"])
def test_every_kind_of_input_changes_the_answer(cohort: Any, artifact: Artifact, part: str) -> None:
    late = [record for record in cohort.records if record["landmark_day"] == 30.0 and record["samples"]]
    record = deepcopy(next(r for r in late if any(event["day"] <= 30.0 for event in r["events"])))
    poorer = deepcopy(record)
    if part == "events":
        poorer["events"] = []
    elif part == "clones":
        for sample in poorer["samples"]:
            sample["clones"] = [clone()]
    elif part == "anc":
        poorer["measurements"] = [m for m in record["measurements"] if m["variable"] != "anc"]
    else:
        del poorer["baseline"]["haemoglobin"]
    given = incidences(answer(artifact, "v", request_of([record, poorer])))
    assert np.abs(given[1] - given[0]).max() > 1e-9


def test_ignored_looks_for_cells_and_clones_apart(artifact: Artifact) -> None:
    matrix = {"genes": ["A"], "indptr": [0, 1], "indices": [0], "values": [1.0]}
    samples = [
        {"material": "blood", "day": 1.0, **matrix, "clones": [clone()]},
        {"material": "blood", "day": 2.0, **matrix},
        {"material": "blood", "day": 3.0, "clones": [clone()]},
        {"material": "blood", "day": 4.0, **matrix, "clones": [clone()]},
        {"material": "blood", "day": 31.0, "clones": [clone()]},
        {"material": "product", "day": 0.0, "clones": [clone()]},
        {"material": "product", "day": -1.0, **matrix, "clones": [clone()]},
    ]
    events = [{"event": "infection", "day": day} for day in (30.0, 30.5)]
    record = PatientRecord.model_validate(
        {"landmark_day": 30.0, "samples": samples[:3] + samples[4:], "events": events}
    )
    assert ignored(record) == ("events[1]", "samples[0]", "samples[3]", "samples[5].clones")
    record = PatientRecord.model_validate({"landmark_day": 30.0, "samples": samples})
    taken = artifact.model.encoder.samples
    assert taken is not None
    assert ignored(record, taken) == ("samples[0]", "samples[1]", "samples[2]", "samples[4]", "samples[6].clones")
    cells_alone = replace(taken, features=("composition",))
    assert ignored(record, cells_alone) == (
        *("samples[0]", "samples[1]", "samples[2]", "samples[3].clones", "samples[4]", "samples[5]"),
        "samples[6].clones",
    )
    clones_alone = replace(taken, features=("clonality",))
    assert "samples[3].values" in ignored(record, clones_alone)


def test_a_sample_of_clones_alone_is_answered(artifact: Artifact) -> None:
    sample = {"material": "blood", "day": 0.0, "clones": [clone("a"), clone("b")]}
    given = answer(artifact, "v", request_of([{"samples": [sample]}])).predictions[0]
    assert given.ignored == ()
    assert "samples.blood" not in given.missing
    assert "samples.blood:tcr:gini" not in given.missing
    assert any(name.startswith("samples.blood:clr") for name in given.missing)
    assert not [name for name in given.missing if "genes" in name]


def test_too_many_clones_or_events_are_refused(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (serving.answer.MAX_CLONES, serving.answer.MAX_EVENTS) == (100_000, 10_000)
    monkeypatch.setattr(serving.answer, "MAX_CLONES", 3)
    monkeypatch.setattr(serving.answer, "MAX_EVENTS", 2)
    sample = {"material": "blood", "day": 0.0, "clones": [clone(str(i)) for i in range(4)]}
    with pytest.raises(InputError, match=r"^patients\[0\]\.samples\[0\]\.clones: may hold at most 3 clones"):
        answer(artifact, "v", request_of([{"samples": [sample]}]))
    events = [{"event": "infection", "day": 0.0}] * 3
    with pytest.raises(InputError, match=r"^patients\[1\]\.events: may hold at most 2 events"):
        answer(artifact, "v", request_of([{}, {"events": events}]))


def test_a_model_of_clones_alone_takes_no_cells(cohort: Any, card: CohortCard, artifact: Artifact) -> None:
    samples = cohort.patients.samples
    bare = replace(samples, summary=CellSummary.of_no_cells(len(samples.day)))
    model = fit_risk_model(
        replace(cohort.patients, samples=bare),
        cohort.outcomes,
        card,
        FeatureConfig(cells=("clonality",)),
        AalenJohansenConfig(),
        TrainerConfig(accelerator="cpu"),
        seed=1,
    )
    of_clones = Artifact(artifact.manifest.model_copy(update={"model": model_block(model)[0]}), model)
    with_cells = next(r for r in cohort.records if r["samples"] and "genes" in r["samples"][0])
    with pytest.raises(InputError, match=r"samples\[0\]\.genes: must be left out: this model takes clones, and no"):
        answer(of_clones, "v", request_of([with_cells]))
    sample = {"material": "blood", "day": 0.0, "clones": [clone()]}
    assert answer(of_clones, "v", request_of([{"samples": [sample]}])).predictions[0].ignored == ()
    of_model = model_card(of_clones, "v").cells
    assert of_model is not None
    assert (of_model.features, of_model.clones) == (("clonality",), True)


def test_other_names_of_a_gene_are_not_absent(artifact: Artifact) -> None:
    genes = ["ENSG00000188389", *(f"G{i}" for i in range(8)), "HAVCR2", "LAG3", "TIGIT"]  # PDCD1 by its Ensembl id
    sample = {"material": "blood", "day": 0.0, "genes": genes, "indptr": [0, 1], "indices": [0], "values": [1.0]}
    given = answer(artifact, "v", request_of([{"samples": [sample]}])).predictions[0]
    assert not [name for name in given.missing if "genes" in name]


def test_the_card_lists_events_scores_grades_and_clones(artifact: Artifact) -> None:
    card = model_card(artifact, "v")
    assert card.events == ("icans", "infection")
    assert card.scores == ("car_hematotox",)
    assert card.grades == ("icaht", "t_icaht")
    assert card.cells is not None
    assert card.cells.clones
    variables = {variable.name: variable.given_as for variable in card.variables}
    assert variables["haemoglobin"] == ("baseline",)
    assert variables["platelets"] == ("measurements",)
