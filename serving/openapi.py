"""The OpenAPI document, with the model's own worked example.

BentoML's generator knows no example, no error body and no GET; its web page reads OpenAPI 3.0, not the 3.1 that
pydantic's JSON schemas belong to.
"""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from serving.messages import ErrorBody, ModelCard, PredictAnswer, PredictRequest

Json = dict[str, Any]
_REFUSALS = {
    "400": "A field breaks a rule; the body names both",
    "413": "The body is too large",
    "415": "The body is not JSON",
    "503": "No model is ready",
}


def document(card: ModelCard | None) -> Json:
    """The OpenAPI 3.0.3 document; examples are those of the card."""
    _, schemas = models_json_schema(
        [
            (PredictRequest, "validation"),
            (PredictAnswer, "serialization"),
            (ModelCard, "serialization"),
            (ErrorBody, "serialization"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    example = card.example.model_dump(mode="json") if card else {}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Sequela",
            "version": card.version if card else "no model",
            "description": "Cumulative incidence of late complications of CAR-T cell therapy, others competing. "
            "All times are days. For research; no medical device.",
        },
        "servers": [{"url": "."}],
        "paths": {
            "/v1/predict": {"post": _predict(example)},
            "/v1/model": {"get": _get("The model card", "ModelCard")},
            "/livez": {"get": _probe("The process lives")},
            "/readyz": {"get": _probe("The model reproduced its own example")},
        },
        "components": {"schemas": {name: to_openapi_30(schema) for name, schema in schemas["$defs"].items()}},
    }


def to_openapi_30(schema: JsonValue) -> JsonValue:
    """JSON Schema 2020-12 as pydantic writes it, in the dialect of OpenAPI 3.0."""
    if isinstance(schema, list):
        return [to_openapi_30(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    new: Json = {key: to_openapi_30(value) for key, value in schema.items()}
    if "anyOf" in new and {"type": "null"} in new["anyOf"]:
        new["nullable"] = True
        new["anyOf"] = [part for part in new["anyOf"] if part != {"type": "null"}]
        if len(new["anyOf"]) == 1 and "$ref" not in new["anyOf"][0]:
            new |= new.pop("anyOf")[0]
    if "prefixItems" in new:
        new["items"] = {"anyOf": new.pop("prefixItems")}
    if "const" in new:
        new["enum"] = [new.pop("const")]
    if "$ref" in new and len(new) > 1:  # in 3.0 nothing may stand beside a reference
        new["allOf"] = [{"$ref": new.pop("$ref")}]
    return new


def _content(schema: str, example: JsonValue = None) -> Json:
    media: Json = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        media["example"] = example
    return {"application/json": media}


def _refusals() -> Json:
    return {code: {"description": text, "content": _content("ErrorBody")} for code, text in _REFUSALS.items()}


def _predict(example: Json) -> Json:
    return {
        "operationId": "predict",
        "summary": "Predict for many patients",
        "requestBody": {"required": True, "content": _content("PredictRequest", example.get("request"))},
        "responses": {
            "200": {
                "description": "One prediction a patient, in the order of the request",
                "content": _content("PredictAnswer", example.get("answer")),
            },
            **_refusals(),
        },
    }


def _get(summary: str, schema: str) -> Json:
    unready = {"description": _REFUSALS["503"], "content": _content("ErrorBody")}
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": _content(schema)}, "503": unready},
    }


def _probe(summary: str) -> Json:
    return {"summary": summary, "responses": {"200": {"description": "Yes"}, "503": {"description": "No"}}}
