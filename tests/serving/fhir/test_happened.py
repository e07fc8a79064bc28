"""Whether what is predicted has happened: for certain, perhaps, or surely not."""

from __future__ import annotations

from typing import Any

import pytest
from assessments import Assess, Json, notes, risks, with_endpoint
from bundles import bundle, condition, day, verified

from features.schema import EventRule
from serving.fhir.codes import event_of
from serving.fhir.record import NotApplicableError
from training.artifact.folder import Artifact

CM = "http://hl7.org/fhir/sid/icd-10-cm"
GM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
THEN = "if it was infection of grade 3 or more"


def severe(**more: Any) -> Json:
    """An infection of grade 4 whose day is to be said."""
    found = condition("infection", 20, 4)
    del found["onsetDateTime"]
    return found | more


@pytest.mark.parametrize(
    "when",
    [
        {"onsetDateTime": day(20)},
        {"onsetDateTime": f"{day(20)}T08:00:00Z"},
        {"onsetDateTime": "2026-03", "infused": "2026-02-20"},
        {"onsetPeriod": {"start": day(3), "end": day(9)}},
        {"onsetDateTime": day(20)} | verified("confirmed"),
    ],
)
def test_what_surely_happened_ends_the_prediction(assess: Assess, when: Json) -> None:
    found = bundle(asked_on=32)
    found["entry"].append({"resource": severe(**{k: v for k, v in when.items() if k != "infused"})})
    found["entry"][1]["resource"]["performedDateTime"] = when.get("infused", day(0))
    with pytest.raises(NotApplicableError):
        assess(found)


@pytest.mark.parametrize(
    ("when", "doubt"),
    [
        ({}, "without an exact day of onset"),
        ({"recordedDate": day(20)}, "without an exact day of onset"),
        ({"onsetDateTime": "2026-03"}, "without an exact day of onset"),
        ({"onsetDateTime": "2026"}, "without an exact day of onset"),
        ({"onsetPeriod": {"end": day(4)}}, "without an exact day of onset"),
        ({"onsetString": "last week"}, "without an exact day of onset"),
        *(
            ({"onsetDateTime": day(20)} | verified(status), "that is not confirmed")
            for status in ("unconfirmed", "provisional", "differential")
        ),
        (
            {"onsetDateTime": day(20), "verificationStatus": {"coding": [{"system": "s", "code": "confirmed"}]}},
            "that is not confirmed",
        ),
        ({"onsetDateTime": day(20), "verificationStatus": {"text": "surely"}}, "that is not confirmed"),
    ],
)
def test_what_may_have_happened_is_said_and_does_not_enter(assess: Assess, when: Json, doubt: str) -> None:
    found = assess(bundle(severe(**when)))
    assert f"Infection {doubt} is in the record: {THEN}" in notes(found)
    assert risks(found) == risks(assess(bundle()))


@pytest.mark.parametrize(
    "when",
    [
        {"recordedDate": day(-1)},
        {"abatementDateTime": day(-3)},
        {"onsetDateTime": "2026-02"},
        {"onsetDateTime": "2025"},
        {"onsetPeriod": {"end": day(-1)}},
        {"onsetDateTime": day(31)},
    ],
)
def test_what_surely_did_not_happen_since_is_not_said(assess: Assess, when: Json) -> None:
    assert "if it was" not in notes(assess(bundle(severe(**when))))


def test_a_mild_infection_of_unknown_day_is_none_of_them(assess: Assess) -> None:
    mild = severe() | {"severity": {"coding": [{"system": "urn:sequela:grades", "code": "2"}]}}
    assert "if it was" not in notes(assess(bundle(mild)))


def test_what_happened_after_the_last_landmark_and_before_asking_counts(assess: Assess) -> None:
    late = severe(onsetDateTime=day(100))
    with pytest.raises(NotApplicableError):
        assess(bundle(late, asked_on=200))
    asked = {"resourceType": "Parameters", "parameter": [{"name": "bundle", "resource": bundle(late, asked_on=200)}]}
    asked["parameter"].append({"name": "landmark-day", "valueDecimal": 30})
    assert "1 after the landmark" in notes(assess(asked))  # as of that day, it had not


@pytest.mark.parametrize(
    ("system", "code", "certain"),
    [
        ("urn:sequela:grades", "3", True),
        ("http://snomed.info/sct", "24484000", True),
        ("http://hospital.example/triage", "4", False),
        ("urn:sequela:grades", "24484000", False),
        ("http://snomed.info/sct", "4", False),
    ],
)
def test_a_grade_is_one_by_its_system(assess: Assess, system: str, code: str, certain: bool) -> None:
    found = bundle(condition("infection", 20) | {"severity": {"coding": [{"system": system, "code": code}]}})
    if certain:
        with pytest.raises(NotApplicableError):
            assess(found)
    else:
        assert f"Infection without a grade is in the record: {THEN}" in notes(assess(found))


def test_an_unconfirmed_event_is_no_input(assess: Assess) -> None:
    found = assess(bundle(condition("icans", 5, 3) | verified("provisional")))
    assert risks(found) == risks(assess(bundle()))
    assert "1 not confirmed" in notes(found)


def test_refuted_is_so_by_its_system(assess: Assess) -> None:
    refuted = severe(onsetDateTime=day(20)) | verified("refuted")
    assert "1 refuted or entered in error" in notes(assess(bundle(refuted)))
    refuted["verificationStatus"]["coding"][0]["system"] = "http://hospital.example/states"
    assert "Infection that is not confirmed" in notes(assess(bundle(refuted)))


@pytest.mark.parametrize("code", ["R65.20", "R65.21", "T80.211A", "A41.9"])
def test_sepsis_and_infected_catheters_are_infections(assess: Assess, code: str) -> None:
    found = severe(onsetDateTime=day(20))
    found["code"]["coding"][0]["code"] = code
    with pytest.raises(NotApplicableError):
        assess(bundle(found))


def test_conditions_of_which_the_model_knows_nothing_are_counted(assess: Assess) -> None:
    broken = [condition("infection", 20) | {"code": {"coding": [{"system": CM, "code": code}]}} for code in ("I10", "")]
    assert "2 conditions of which the model knows nothing" in notes(assess(bundle(*broken)))


@pytest.mark.parametrize("code", ["G92.03", "D89.833"])
def test_grades_of_crs_and_icans_are_of_the_clinical_modification_alone(code: str) -> None:
    found = event_of([(CM, code)])
    assert found is not None
    assert found.grade == 3
    assert event_of([(GM, code)]) is None
    assert event_of([("http://hl7.org/fhir/sid/icd-10", code)]) is None


LYMPHOMA = {
    "resourceType": "Condition",
    "code": {"coding": [{"system": CM, "code": "C83.31"}]},
    "clinicalStatus": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "relapse"}]
    },
}


@pytest.fixture
def of_relapse(artifact: Artifact) -> Artifact:
    """The same model, whose second cause is relapse."""
    return with_endpoint(artifact, competing=(EventRule(name="relapse"),))


def test_a_lymphoma_that_came_back_after_infusion_is_a_relapse(assess: Assess, of_relapse: Artifact) -> None:
    with pytest.raises(NotApplicableError, match="relapse has happened"):
        assess(bundle(LYMPHOMA | {"onsetDateTime": day(20)}), of=of_relapse)
    since = "Relapse without an exact day of onset is in the record: if it was relapse since infusion"
    assert since in notes(assess(bundle(LYMPHOMA | {"onsetDateTime": "2024", "recordedDate": day(20)}), of=of_relapse))
    for before in ({"onsetDateTime": "2024"}, {"onsetDateTime": "2024", "recordedDate": day(-20)}, {}):
        assert "if it was" not in notes(assess(bundle(LYMPHOMA | before), of=of_relapse))
    active = LYMPHOMA | {"onsetDateTime": day(20), "clinicalStatus": {"coding": [{"system": "s", "code": "relapse"}]}}
    assert "if it was" not in notes(assess(bundle(active), of=of_relapse))


def test_a_malignancy_of_after_infusion_may_be_a_second_one(assess: Assess, artifact: Artifact) -> None:
    of_second = with_endpoint(artifact, competing=(EventRule(name="second_malignancy"),))
    for code, said in (("C50.9", True), ("D46.9", True), ("C78.0", False), ("C83.31", False)):
        found = severe(onsetDateTime=day(20)) | {"code": {"coding": [{"system": CM, "code": code}]}}
        assert ("Second malignancy by a code" in notes(assess(bundle(found), of=of_second))) is said, code
        before = found | {"onsetDateTime": "2019"}
        assert "Second malignancy" not in notes(assess(bundle(before), of=of_second))
