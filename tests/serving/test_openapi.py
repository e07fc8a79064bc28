from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from serving.card import model_card
from serving.messages import PredictAnswer, PredictRequest, Problem
from serving.openapi import document, to_openapi_30
from serving.score_messages import ScoreRequest
from serving.scores import score_answer, score_list
from training.artifact.folder import Artifact

Json = dict[str, Any]


@pytest.fixture(scope="module")
def spec(artifact: Artifact) -> Json:
    return document(model_card(artifact, "sequela:v"))


def nodes(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(part)


def test_every_reference_resolves_and_stands_alone(spec: Json) -> None:
    references = [node for node in nodes(spec) if "$ref" in node]
    assert len(references) > 20
    for node in references:
        assert list(node) == ["$ref"]
        assert node["$ref"].removeprefix("#/components/schemas/") in spec["components"]["schemas"]


def test_schemas_speak_the_dialect_of_openapi_30(spec: Json) -> None:
    for node in nodes(spec["components"]["schemas"]):
        assert "const" not in node
        assert "prefixItems" not in node
        assert node.get("type") != "null"
        assert node.get("exclusiveMinimum", True) is True


def test_every_field_of_a_message_is_documented(spec: Json) -> None:
    schemas = spec["components"]["schemas"]
    scores = ("ScoreRequest", "ScorePatient", "ScoreResult", "ScoreCard", "ScoreInput", "IcansComponents")
    for name in ("PredictRequest", "Prediction", "Problem", *scores):
        bare = [f for f, s in schemas[name]["properties"].items() if "description" not in s]
        assert set(bare) <= {"patient_id", "time_unit", "name", "title", "kind", "citation"}, name


def test_the_examples_fit_their_schemas(spec: Json) -> None:
    post = spec["paths"]["/v1/predict"]["post"]
    request = post["requestBody"]["content"]["application/json"]["example"]
    PredictRequest.model_validate_json(json.dumps(request), strict=True)
    answer = post["responses"]["200"]["content"]["application/json"]["example"]
    PredictAnswer.model_validate_json(json.dumps(answer), strict=True)
    schema = {"$ref": "#/components/schemas/PredictAnswer", "components": with_null(spec["components"])}
    jsonschema.Draft4Validator(schema).validate(answer)
    with pytest.raises(jsonschema.ValidationError, match="is a required property"):
        jsonschema.Draft4Validator(schema).validate({"model": answer["model"]})


def test_the_examples_of_scores_are_true() -> None:
    spec = document(None)  # scores need no model, and neither do their examples
    post = spec["paths"]["/v1/scores"]["post"]
    request = post["requestBody"]["content"]["application/json"]["example"]
    answer = post["responses"]["200"]["content"]["application/json"]["example"]
    given = score_answer(ScoreRequest.model_validate_json(json.dumps(request), strict=True))
    assert given.model_dump(mode="json") == answer
    for value, name in ((answer, "ScoresAnswer"), (request, "ScoreRequest"), (listed(), "ScoreList")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": with_null(spec["components"])}
        jsonschema.Draft4Validator(schema).validate(value)
        with pytest.raises(jsonschema.ValidationError, match="Additional properties are not allowed"):
            jsonschema.Draft4Validator(schema).validate({**value, "surprise": 1})
    assert set(post["responses"]) == {"200", "400", "401", "403", "408", "413", "415", "429", "500", "503", "504"}


def with_null(schema: Any) -> Any:
    """The dialect of OpenAPI 3.0 as JSON Schema, which does not know the word nullable."""
    if isinstance(schema, list):
        return [with_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    new = {key: with_null(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [new, {"type": "null"}]} if schema.get("nullable") is True else new


def listed() -> Json:
    return score_list().model_dump(mode="json")


def test_refusals_are_documented(spec: Json) -> None:
    responses = spec["paths"]["/v1/predict"]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "408", "413", "415", "429", "500", "503", "504"}
    assert [code for code, said in responses.items() if "Retry-After" in said.get("headers", {})] == ["429"]
    assert set(spec["components"]["schemas"]["Problem"]["properties"]) == set(Problem.model_fields)


def test_without_a_model_there_is_a_document_without_examples() -> None:
    post = document(None)["paths"]["/v1/predict"]["post"]
    assert "example" not in post["requestBody"]["content"]["application/json"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        (
            {"anyOf": [{"$ref": "#/a"}, {"type": "null"}], "default": None},
            {"anyOf": [{"$ref": "#/a"}], "default": None, "nullable": True},
        ),
        ({"const": "days", "type": "string"}, {"enum": ["days"], "type": "string"}),
        ({"$ref": "#/a", "description": "x"}, {"allOf": [{"$ref": "#/a"}], "description": "x"}),
        (
            {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]},
            {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "number"}]}},
        ),
    ],
    ids=["optional", "optional reference", "constant", "described reference", "pair"],
)
def test_translation(schema: Json, expected: Json) -> None:
    assert to_openapi_30(schema) == expected
