"""Draft orders are known by what is ordered, wherever the order says it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from features.errors import InputError
from features.guidance import OPTIONS
from serving.cds.hooks import MissingPrefetchError, read_call, record_of
from serving.cds.orders import options_ordered
from serving.cds.services import BY_ID

Json = dict[str, Any]
ATC = "http://www.whocc.no/atc"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def concept(code: str, system: str = ATC) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def ordered(order: Json, *others: Json) -> tuple[str, ...]:
    """Options that a selected draft is about; others lie beside it."""
    own = {"resourceType": "MedicationRequest", "id": "o1"} | order
    entries = [one if "resource" in one else {"resource": one} for one in (own, *others)]
    call = {
        "hook": "order-select",
        "hookInstance": str(uuid.uuid4()),
        "context": {
            "patientId": "p1",
            "selections": ["MedicationRequest/o1"],
            "draftOrders": {"resourceType": "Bundle", "entry": entries},
        },
    }
    return options_ordered(read_call(call, BY_ID["sequela-order-select"]))


@pytest.mark.parametrize("code", ["L03AA02", "L03AA10", "L03AA13", "L03AA14"])
def test_granulocyte_factors_are_what_the_guidance_speaks_of(code: str) -> None:
    assert ordered({"medicationCodeableConcept": concept(code)}) == ("growth_factor",)


@pytest.mark.parametrize("code", ["L03AA09", "L03AA03", "L03AA", "L03AA12"])
def test_other_colony_stimulating_factors_are_not(code: str) -> None:
    """Sargramostim and molgramostim are GM-CSF, of which the cited guidance says nothing."""
    assert ordered({"medicationCodeableConcept": concept(code)}) == ()


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("281", "herpes_prophylaxis"),
        ("73645", "herpes_prophylaxis"),
        ("68442", "growth_factor"),
        ("338036", "growth_factor"),
        ("10831", "pneumocystis_prophylaxis"),
        ("82122", "antibacterial_prophylaxis"),
        ("282446", "antifungal_prophylaxis"),
    ],
)
def test_ingredients_are_known_by_rxnorm(code: str, key: str) -> None:
    assert ordered({"medicationCodeableConcept": concept(code, RXNORM)}) == (key,)
    assert ordered({"medicationCodeableConcept": concept(f"{code}0", RXNORM)}) == ()  # no prefix, as in ATC
    assert ordered({"medicationCodeableConcept": concept(code)}) == ()  # of another system


MEDICATION: Json = {"resourceType": "Medication", "id": "m", "code": concept("J06BA02")}


def test_a_medication_is_read_that_the_order_contains_or_that_lies_beside_it() -> None:
    found = ("immunoglobulin_replacement",)
    contained = {"medicationReference": {"reference": "#m"}, "contained": [{"resourceType": "Basic"}, MEDICATION]}
    assert ordered(contained) == found
    for reference in ("Medication/m", "https://ehr.example/fhir/Medication/m"):
        assert ordered({"medicationReference": {"reference": reference}}, MEDICATION) == found
    beside = {"fullUrl": "urn:uuid:6f1e", "resource": MEDICATION}
    assert ordered({"medicationReference": {"reference": "urn:uuid:6f1e"}}, beside) == found
    mixed = {"resourceType": "Medication", "id": "m", "ingredient": [{"itemCodeableConcept": concept("68442", RXNORM)}]}
    assert ordered({"medicationReference": {"reference": "#m"}, "contained": [mixed]}) == ("growth_factor",)


@pytest.mark.parametrize(
    "order",
    [
        {"medicationReference": {"reference": "#other"}, "contained": [MEDICATION]},
        {"medicationReference": {"reference": "Medication/elsewhere"}},
        {"medicationReference": {}, "contained": [MEDICATION]},
        {"medicationReference": {"reference": "#m"}, "contained": [{**MEDICATION, "resourceType": "Device"}]},
        {"medicationReference": {"reference": "#m"}, "contained": "m"},
        {"medicationReference": {"reference": "#m"}, "contained": [{**MEDICATION, "ingredient": 3, "code": None}]},
    ],
)
def test_what_is_not_there_is_not_guessed(order: Json) -> None:
    assert ordered(order, {"resourceType": "Medication", "id": "", "code": concept("J06BA02")}) == ()


def test_a_medication_that_is_none_is_refused_by_its_place() -> None:
    with pytest.raises(InputError) as error:
        ordered({"medicationReference": {"reference": "#m"}, "contained": [{**MEDICATION, "code": "J06BA02"}]})
    assert error.value.field == "request.context.draftOrders.entry[0].resource.medicationReference"


def test_codes_are_of_one_medicine_each() -> None:
    """No code stands for two options: a card would speak of what is not ordered."""
    for system in ("atc", "rxnorm"):
        codes = [code for option in OPTIONS.values() for code in getattr(option, system)]
        assert len(set(codes)) == len(codes)
    atc = [code for option in OPTIONS.values() for code in option.atc]
    assert not any(one != other and one.startswith(other) for one in atc for other in atc)


@pytest.mark.parametrize("name", ["procedures", "observations", "conditions"])
def test_a_page_of_several_is_not_enough(name: str) -> None:
    whole = {"resourceType": "Bundle", "link": [{"relation": "self"}]}
    sent = dict.fromkeys(("procedures", "observations", "conditions"), whole)
    content = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"patientId": "p1"},
        "prefetch": {"patient": {"resourceType": "Patient", "id": "p1"}, **sent},
    }
    view = BY_ID["sequela-patient-view"]
    assert len(record_of(read_call(content, view))) == 1
    content["prefetch"] |= {name: whole | {"link": [{"relation": "self"}, {"relation": "next"}]}}
    with pytest.raises(MissingPrefetchError, match="all pages of the answer have to come") as error:
        record_of(read_call(content, view))
    assert error.value.field == f"request.prefetch.{name}.link"
