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

from serving.fhir.conformance import capability_statement, operation_definition

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


def test_mutated_requests_give_no_fault_of_ours(client: httpx.Client, official: jsonschema.Draft6Validator) -> None:
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
    statuses: dict[str, set[int]] = {"Bundle": set(), "Parameters": set()}
    for number in range(ROUNDS):
        kind = "Bundle" if number % 4 else "Parameters"
        content = mutated(sound if kind == "Bundle" else asked, rng)
        answered = client.post(RISK, json=content)
        assert answered.status_code < 500, content
        if number % 5 < 2:
            official.validate(answered.json())
            read_by = RiskAssessment if answered.status_code == 200 else OperationOutcome
            read_by.model_validate_json(answered.content)
        statuses[kind].add(answered.status_code)
    assert statuses["Bundle"] >= {200, 400}
    assert statuses["Parameters"] >= {200, 400}


@pytest.mark.parametrize(
    "parameter",
    [
        [{"name": []}],
        [{"name": {}, "resource": bundle()}],
        [{"name": None}],
        [[]],
        [{"name": "bundle", "resource": []}],
        [{"name": "bundle", "resource": bundle()}, {"name": "date", "valueDate": []}],
        [{"name": "bundle", "resource": bundle()}, {"name": "landmark-day", "valueDecimal": True}],
        {"name": "bundle"},
        "bundle",
    ],
)
def test_malformed_parameters_are_refused(client: httpx.Client, parameter: Any) -> None:
    answered = client.post(RISK, json={"resourceType": "Parameters", "parameter": parameter})
    assert answered.status_code == 400, answered.text


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", RISK, {"content-type": "application/fhir+json; fhirVersion=4.0"}, 200),
        ("POST", RISK, {"content-type": "application/fhir+json; charset=UTF-8"}, 200),
        ("POST", RISK, {"content-type": "application/json"}, 200),
        ("POST", RISK, {"content-type": "application/fhir+json; fhirVersion=3.0"}, 415),
        ("POST", RISK, {"content-type": "application/fhir+json; charset=latin-1"}, 415),
        ("POST", RISK, {"accept": "application/fhir+json; fhirVersion=4.0"}, 200),
        ("POST", RISK, {"accept": "application/fhir+xml, application/json;q=0.5"}, 200),
        ("POST", RISK, {"accept": "application/*"}, 200),
        ("POST", RISK, {"accept": ""}, 200),
        ("POST", RISK, {"accept": "application/fhir+xml"}, 406),
        ("POST", RISK, {"accept": "application/fhir+json; fhirVersion=5.0"}, 406),
        ("POST", RISK, {"accept": "application/fhir+json;q=0"}, 406),
        ("POST", f"{RISK}?_format=json", {"accept": "application/fhir+xml"}, 200),
        ("POST", f"{RISK}?_format=application/fhir%2Bjson", {}, 200),
        ("POST", f"{RISK}?_format=application/fhir+json", {}, 200),
        ("POST", f"{RISK}?_format=xml", {}, 406),
        ("GET", "/fhir/metadata?_format=application/fhir%2Bxml", {}, 406),
        ("GET", "/fhir/metadata", {"accept": "text/turtle"}, 406),
        ("GET", "/fhir/OperationDefinition/predict-risk?_format=xml", {}, 406),
        ("POST", "/fhir/metadata", {}, 405),
        ("POST", "/fhir/$nope", {}, 404),
        ("POST", "/fhir/Observation", {}, 404),
        ("GET", "/fhir", {}, 404),
        ("POST", "/fhir", {}, 404),
        ("GET", "/fhir/", {}, 404),
    ],
)
def test_what_is_not_spoken_is_refused_as_such(
    client: httpx.Client,
    official: jsonschema.Draft6Validator,
    method: str,
    path: str,
    sent: dict[str, str],
    status: int,
) -> None:
    content = json.dumps(bundle()) if method == "POST" else None
    answered = client.request(method, path, content=content, headers={"content-type": FHIR} | sent)
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == FHIR
    official.validate(answered.json())
    if status >= 400:
        assert answered.json()["issue"][0]["code"] in ("not-supported", "not-found")


def test_the_operation_is_found_from_the_capability_statement(client: httpx.Client) -> None:
    capabilities = client.get("/fhir/metadata").json()
    assert "url" not in capabilities["implementation"]
    (rest,) = capabilities["rest"]
    (operation,) = rest["operation"]
    definition = client.get(f"/fhir/{operation['definition']}")  # relative to the base: no public address is configured
    assert definition.status_code == 200
    assert definition.json()["code"] == operation["name"]
    assert rest["resource"] == [{"type": "OperationDefinition", "interaction": [{"code": "read"}]}]


def test_with_a_public_address_the_operation_is_known_by_it(
    official: jsonschema.Draft6Validator,
) -> None:
    for public in ("https://sequela.example", "https://sequela.example/"):
        capabilities = capability_statement("m:1", public)
        definition = operation_definition(None, public)
        CapabilityStatement.model_validate(capabilities)
        OperationDefinition.model_validate(definition)
        official.validate(definition)
        assert capabilities["implementation"]["url"] == "https://sequela.example/fhir"
        address = "https://sequela.example/fhir/OperationDefinition/predict-risk"
        assert capabilities["rest"][0]["operation"][0]["definition"] == definition["url"] == address
