"""Only the patient's own values enter."""

from __future__ import annotations

from typing import Any

import pytest
from assessments import Assess, Json, notes, risks
from bundles import bundle, observation

from features.errors import InputError

OTHERS = "https://other.example/fhir/Patient/p1"
HERE = "https://ehr.example/fhir"
MRN = {"system": "urn:mrn", "value": "4711"}


def about(subject: Any, *, patient: Json | None = None, patient_url: str = "", url: str = "", **more: Any) -> Json:
    """A Bundle with a value of somebody."""
    found = bundle(observation("2276-4", -2, 90_000, "ng/mL", id="x", subject=subject), **more)
    found["entry"][0]["resource"] |= patient or {}
    found["entry"][1]["resource"].pop("subject")
    for i, one in ((0, patient_url), (2, url)):
        if one:
            found["entry"][i]["fullUrl"] = one
    return found


def enters(assess: Assess, content: Json) -> bool:
    """Whether the value does."""
    return {"reference": "Observation/x"} in assess(content)["basis"]


def test_a_logical_reference_is_the_patients_by_an_identifier(assess: Assess) -> None:
    known = {"identifier": [{"system": "urn:ssn", "value": "1"}, MRN]}
    assert enters(assess, about({"identifier": MRN}, patient=known))
    for other in ({"identifier": MRN | {"value": "4712"}}, {"identifier": {"value": "4711"}}, {"display": "Mrs S"}, {}):
        found = about(other, patient=known)
        assert not enters(assess, found)
        assert "1 of which is not shown that they are the patient's" in notes(assess(found))
    assert not enters(assess, about({"identifier": MRN}))


@pytest.mark.parametrize(
    "where",
    [
        {"patient_url": f"{HERE}/Patient/p1"},
        {"patient_url": f"{HERE}/Patient/p1/_history/3"},
        {"url": f"{HERE}/Observation/x"},
        {"patient_url": "urn:uuid:1", "url": f"{HERE}/Observation/x"},
        {"link": [{"relation": "self", "url": f"{HERE}/Observation?patient=p1"}]},
    ],
)
def test_an_address_is_the_patients_on_the_server_of_the_bundle(assess: Assess, where: Json) -> None:
    assert enters(assess, about({"reference": f"{HERE}/Patient/p1"}, **where))
    assert enters(assess, about({"reference": f"{HERE}/Patient/p1/_history/7"}, **where))
    for other in (OTHERS, f"{HERE}/Patient/p2", f"{HERE}/Group/p1", "#p1"):
        with pytest.raises(InputError) as refused:
            assess(about({"reference": other}, **where))
        assert refused.value.field == "Bundle.entry[2].resource.subject.reference"


def test_an_address_of_no_known_server_is_nobodys(assess: Assess) -> None:
    with pytest.raises(InputError):
        assess(about({"reference": OTHERS}))


def test_a_relative_reference_is_read_where_it_stands(assess: Assess) -> None:
    relative = {"reference": "Patient/p1"}
    assert enters(assess, about(relative, patient_url=f"{HERE}/Patient/p1", url=f"{HERE}/Observation/x"))
    with pytest.raises(InputError):
        assess(about(relative, patient_url=f"{HERE}/Patient/p1", url="https://other.example/fhir/Observation/x"))


def test_the_same_patient_twice_is_one(assess: Assess) -> None:
    found = bundle(observation("2276-4", -2, 900, "ng/mL"))
    expected = risks(assess(found))
    found["entry"].append(dict(found["entry"][0]))
    assert risks(assess(found)) == expected
    found["entry"][-1] |= {"fullUrl": "urn:uuid:2"}
    assert risks(assess(found)) == expected
    found["entry"][-1] = {"resource": {"resourceType": "Patient", "id": "p2"}}
    with pytest.raises(InputError, match="it holds 2"):
        assess(found)
