"""Where a card is wanted, one odd resource stops nothing, and is named; what is out of force is read nowhere."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from assessments import Assess, Json, notes, risks
from bundles import bundle, condition, day, infusion, observation

from features.errors import InputError
from serving.fhir.entries import entries_of
from serving.fhir.record import NotApplicableError, ReadRecord, read_record
from training.artifact.folder import Artifact


def read(artifact: Artifact, content: Json) -> ReadRecord:
    """As for a card."""
    model = artifact.model.encoder, artifact.manifest.endpoint
    return read_record(entries_of(content), *model, asked_on=date.fromisoformat(day(30)), lenient=True)


def ferritin(**more: Any) -> Json:
    return observation("2276-4", -2, 900, "ng/mL", id="odd") | more


ODD = [
    ferritin(effectiveDateTime="0001-01-01T00:00:00Z"),
    ferritin(valueQuantity={"value": "5"}),
    ferritin(valueQuantity={"value": -5, "unit": "ng/mL"}),
    ferritin(valueQuantity={"value": 5, "unit": "furlong"}),
    ferritin(valueQuantity={"value": 5, "unit": "ng/mL", "comparator": "about"}),
    ferritin(issued="soon"),
    ferritin(code={"coding": "2276-4"}),
    condition("infection", 20, 2) | {"id": "odd", "onsetDateTime": "0001-01-01"},
    condition("infection", 20, 2) | {"id": "odd", "recordedDate": "once", "onsetDateTime": "2026-03"},
    condition("infection", 20, 2) | {"id": "odd", "severity": "bad"},
    infusion() | {"id": "odd", "performedDateTime": "0001-01-01"},
    infusion() | {"id": "odd", "performedDateTime": "2026-03"},
    infusion() | {"id": "odd", "usedCode": 3},
]


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_is_named_and_stops_nothing(artifact: Artifact, assess: Assess, odd: Json) -> None:
    sound = observation("718-7", 0, 97, "g/L")
    found = read(artifact, bundle(odd, sound))
    assert f"Could not be read, and did not enter: {odd['resourceType']}/odd." in found.notes
    assert found.record == read(artifact, bundle(sound)).record
    with pytest.raises(InputError):
        assess(bundle(odd, sound))


@pytest.mark.parametrize(
    "patient",
    [{"birthDate": "1850-01-01"}, {"birthDate": "2030-01-01"}, {"birthDate": 1961}, {"gender": []}, {"identifier": 3}],
)
def test_a_patient_of_odd_elements_is_one(artifact: Artifact, assess: Assess, patient: Json) -> None:
    content = bundle()
    content["entry"][0]["resource"] |= patient
    found = read(artifact, content)
    assert any(note.startswith("Could not be read, and did not enter: ") for note in found.notes)
    assert found.record == read(artifact, bundle()).record
    with pytest.raises(InputError):
        assess(content)


def test_who_may_have_died_gets_no_card(artifact: Artifact) -> None:
    content = bundle()
    content["entry"][0]["resource"]["deceasedDateTime"] = "0001-01-01"
    with pytest.raises(NotApplicableError):
        read(artifact, content)


def test_values_of_others_and_of_unclear_versions_stop_nothing(artifact: Artifact) -> None:
    others = observation("718-7", 0, 97, "g/L", subject={"reference": "Patient/p2"})
    unclear = [ferritin(), ferritin(valueQuantity={"value": 9, "unit": "ng/mL"})]
    found = read(artifact, bundle(others, *unclear))
    assert found.record == read(artifact, bundle()).record
    assert "Not used of the record: 1 copies or earlier versions, 1 of another patient." in found.notes
    assert any("Bundle.entry[4].resource, of which there are several versions" in note for note in found.notes)


def test_patients_that_a_search_brought_along_stop_nothing(artifact: Artifact) -> None:
    content = bundle()
    content["entry"].append({"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "p2"}})
    found = read(artifact, content)
    assert found.subject == "Patient/p1"
    assert "Not used of the record: 1 of another patient." in found.notes


def test_an_entry_that_is_no_resource_stops_nothing(artifact: Artifact) -> None:
    content = bundle()
    content["entry"].append({"resource": [3]})
    assert "Could not be read, and did not enter: Bundle.entry[2].resource." in read(artifact, content).notes


@pytest.mark.parametrize(
    "out",
    [
        ferritin(status="entered-in-error", valueQuantity={"value": "abc"}, effectiveDateTime="soon", subject="?"),
        ferritin(status="cancelled", code={"coding": "x"}),
        observation("99999-9", 0, 5, "x", valueQuantity={"value": "5"}, effectiveDateTime="0001-01-01"),
        condition("infection", 20, 4)
        | {"onsetDateTime": "never", "severity": 3}
        | {
            "verificationStatus": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/condition-ver-status",
                        "code": "entered-in-error",
                    }
                ]
            }
        },
        infusion() | {"id": "x", "status": "entered-in-error", "performedDateTime": "0001-01-01"},
        infusion() | {"id": "x", "performedDateTime": "2021"},
        infusion() | {"id": "x", "performedDateTime": "2026-02"},
        infusion("12345") | {"id": "x", "performedDateTime": "0001-01-01"},
    ],
)
def test_what_does_not_count_is_not_looked_at(assess: Assess, out: Json) -> None:
    assert risks(assess(bundle(out))) == risks(assess(bundle()))


@pytest.mark.parametrize("when", ["2026", "2026-03", None])
def test_an_infusion_that_may_be_the_latest_needs_its_day(assess: Assess, when: str | None) -> None:
    with pytest.raises(InputError, match="day 0"):
        assess(bundle(infusion() | {"id": "x", "performedDateTime": when}))


def test_what_is_left_out_is_said_once_with_its_number(assess: Assess) -> None:
    out = [ferritin(status="cancelled") | {"id": f"o{i}"} for i in range(3)]
    assert "3 not final" in notes(assess(bundle(*out)))
