"""FHIR over HTTP: the operation, what says that there is one, and OperationOutcomes for whatever goes wrong."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from bundles import bundle, bundle_of, condition, level, observation
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationdefinition import OperationDefinition
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.riskassessment import RiskAssessment

ROUNDS = int(os.environ.get("SEQUELA_TEST_BUNDLES", "400"))
"""Mutated Bundles that are sent."""
FHIR = "application/fhir+json"
RISK = "/fhir/$predict-risk"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_the_operation_answers_as_the_plain_api_does(
    client: httpx.Client, official: jsonschema.Draft6Validator, cohort: Any
) -> None:
    record = next(one for one in cohort.records if one["baseline"]["age"])
    answered = client.post(RISK, content=json.dumps(bundle_of(record)), headers={"content-type": FHIR})
    assert answered.status_code == 200, answered.text
    assert answered.headers["content-type"] == FHIR
    RiskAssessment.model_validate_json(answered.content)
    official.validate(answered.json())
    facts = {key: value for key, value in record.items() if key != "samples"}
    facts["baseline"] = record["baseline"] | {"age": int(record["baseline"]["age"])}
    plain = client.post("/v1/predict", json={"patients": [facts]}).json()["predictions"][0]
    wanted = [value for values in plain["incidence"].values() for value in values]
    assert [one["probabilityDecimal"] for one in answered.json()["prediction"]] == pytest.approx(wanted, abs=1e-9)


def test_it_says_what_it_can_do(client: httpx.Client, official: jsonschema.Draft6Validator, tag: str) -> None:
    capabilities = client.get("/fhir/metadata")
    CapabilityStatement.model_validate_json(capabilities.content)
    official.validate(capabilities.json() | {"fhirVersion": "4.0.0"})  # the schema is older than the correction 4.0.1
    assert capabilities.json()["software"]["version"] == tag
    definition = client.get("/fhir/OperationDefinition/predict-risk")
    OperationDefinition.model_validate_json(definition.content)
    official.validate(definition.json())
    assert "ferritin [ng/mL]: LOINC 2276-4" in definition.json()["description"]


@pytest.mark.parametrize(
    ("method", "path", "content", "media_type", "status", "code"),
    [
        ("POST", RISK, b"{", FHIR, 400, "invalid"),
        ("POST", RISK, json.dumps(bundle(level("ecog", "9"))).encode(), FHIR, 400, "invalid"),
        ("POST", RISK, b"<Bundle/>", "application/fhir+xml", 415, "not-supported"),
        ("POST", RISK, b" " * (2**21 + 1), FHIR, 413, "too-long"),
        ("GET", RISK, None, FHIR, 405, "not-supported"),
        ("GET", "/fhir/Patient", None, FHIR, 404, "not-found"),
    ],
)
def test_refusals_are_operation_outcomes(
    client: httpx.Client,
    official: jsonschema.Draft6Validator,
    method: str,
    path: str,
    content: bytes | None,
    media_type: str,
    status: int,
    code: str,
) -> None:
    answered = client.request(method, path, content=content, headers={"content-type": media_type})
    assert answered.status_code == status
    assert answered.headers["content-type"] == FHIR
    assert answered.headers["cache-control"] == "no-store"
    OperationOutcome.model_validate_json(answered.content)
    official.validate(answered.json())
    assert answered.json()["issue"][0]["code"] == code


def test_a_fault_is_named_by_its_place_and_not_by_its_value(client: httpx.Client, server: Any) -> None:
    wrong = observation("2276-4", 0, -31415, "ng/mL")
    issue = client.post(RISK, json=bundle(wrong)).json()["issue"][0]
    assert issue["expression"] == ["Bundle.entry[2].resource.valueQuantity"]
    assert "31415" not in json.dumps(issue)
    assert "31415" not in server.log.read_text()


def mutated(content: Json, rng: random.Random) -> Json:
    """With one to four things of it changed, left out or moved."""
    found = copy.deepcopy(content)
    spoils = [
        None,
        "",
        "x",
        0,
        -1,
        1e308,
        10**30,
        True,
        [],
        {},
        [[]],
        "2026-13-45",
        "2026",
        "0000",
        "9999-12-31",
        10**400,
        "é" * 3000,
    ]
    for _ in range(rng.randint(1, 4)):
        inner: Any = found
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            key = rng.choice(keys)
            below = inner[key]
            if not (isinstance(below, dict | list) and below) or rng.random() < 0.15:
                break
            inner = below
        if rng.random() < 0.3:
            del inner[key]
        else:
            inner[key] = copy.deepcopy(rng.choice([*spoils, content, below]))
        if not found:
            break
    return found


def test_mutated_bundles_give_no_fault_of_ours(client: httpx.Client, official: jsonschema.Draft6Validator) -> None:
    rng = random.Random(5)
    sound = bundle(
        observation("2276-4", -2, 900, "ng/mL", issued="2026-03-01"),
        observation("718-7", 0, 97, "g/L"),
        level("ecog", "1"),
        condition("icans", 5, 3),
        condition("infection", 20, 2),
        age=60,
    )
    asked = {"resourceType": "Parameters", "parameter": [{"name": "bundle", "resource": sound}]}
    asked["parameter"] += [{"name": "date", "valueDate": "2026-03-30"}, {"name": "landmark-day", "valueDecimal": 7}]
    statuses = set()
    for number in range(ROUNDS):
        content = (
            mutated(sound, rng) if number % 4 else {**asked, "parameter": mutated({"entry": asked["parameter"]}, rng)}
        )
        answered = client.post(RISK, json=content)
        assert answered.status_code < 500, content
        if number % 20 == 0:
            official.validate(answered.json())
        statuses.add(answered.status_code)
    assert statuses >= {200, 400}
