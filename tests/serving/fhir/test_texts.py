"""No text of a record reaches an answer: resources are named by ids and places, limits by the four signs there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from assessments import Assess, Json, notes
from bundles import bundle, infusion, observation

from features.errors import InputError

MARKUP = "[click](javascript:alert(1)) <img src=x onerror=alert(1)>"


def ferritin(**more: Any) -> Json:
    return observation("2276-4", -2, 900, "ng/mL", **more)


@pytest.mark.parametrize(
    "url",
    ["javascript:x", MARKUP, "\u0001\u0000 \n", "   ", [MARKUP], "https://a.example/[x](y)", "urn:\n", "x" * 3000],
)  # fmt: skip
def test_an_address_is_one_by_its_form(assess: Assess, url: Any) -> None:
    found = bundle(ferritin(valueQuantity={"value": 5, "unit": "ng/mL", "comparator": "<"}))
    found["entry"][2]["fullUrl"] = url
    answered = assess(found)
    assert answered["basis"] == [{"reference": "Procedure/infusion"}]
    assert "Bundle.entry[2].resource: given as < a limit" in notes(answered)
    assert json.dumps(url)[1:-1] not in json.dumps(answered)


def test_an_address_names_what_has_no_id_in_the_basis_alone(assess: Assess) -> None:
    url = "https://ehr.example/fhir/Observation/7"
    found = bundle(ferritin(valueQuantity={"value": 5, "unit": "ng/mL", "comparator": ">="}))
    found["entry"][2] |= {"fullUrl": url}
    found["entry"][2]["resource"].pop("subject")
    answered = assess(found)
    assert {"reference": url} in answered["basis"]
    assert url not in notes(answered)


def test_a_patient_of_no_id_and_an_odd_address_is_refused(assess: Assess) -> None:
    found = bundle()
    found["entry"][0] = {"fullUrl": "\u0000", "resource": {"resourceType": "Patient"}}
    with pytest.raises(InputError, match="required"):
        assess(found)


@pytest.mark.parametrize("comparator", ["# Mrs Smith <script>", "ad", "", "=<", 3])
def test_a_limit_is_one_of_four(assess: Assess, comparator: Any) -> None:
    with pytest.raises(InputError) as refused:
        assess(bundle(ferritin(valueQuantity={"value": 5, "unit": "ng/mL", "comparator": comparator})))
    assert refused.value.field == "Bundle.entry[2].resource.valueQuantity.comparator"
    assert "Smith" not in refused.value.rule


@pytest.mark.parametrize("bad", ["a_b", "", "x" * 65, "a b", "a\n"])
def test_an_id_is_refused_in_words(assess: Assess, bad: str) -> None:
    with pytest.raises(InputError) as refused:
        assess(bundle(ferritin(id=bad)))
    assert refused.value.rule == "must be an id of FHIR: 1 to 64 letters, digits, hyphens and full stops"
    with pytest.raises(InputError, match="must be an id of FHIR"):
        assess(bundle(infusion() | {"id": bad}))
