"""The OpenAPI document, with the model's own worked example.

BentoML's generator knows no example, no error body and no GET; its web page reads OpenAPI 3.0, not the 3.1 that
pydantic's JSON schemas belong to.
"""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from serving.guard import PROBLEM
from serving.messages import (
    MAX_EXPLAINED,
    ExplainAnswer,
    ModelCard,
    OutcomesAnswer,
    OutcomesRequest,
    PredictAnswer,
    PredictRequest,
    Problem,
)
from serving.monitor_messages import MonitorAnswer, MonitorRequest
from serving.packed import PACKED
from serving.request_schema import SCHEMA
from serving.score_messages import ScoreList, ScoreRequest, ScoresAnswer
from serving.scores import score_answer
from serving.state_messages import StatesAnswer, StatesRequest

Json = dict[str, Any]
_REFUSALS = {
    "400": "A field breaks a rule; the body names both",
    "401": "There is no key that is known",
    "403": "The key lacks the scope",
    "404": "The service keeps no predictions with which outcomes could be compared",
    "408": "The body did not come in time",
    "413": "The body is too large",
    "415": "The body has another media type, or is compressed",
    "429": "Too many requests; wait as Retry-After says",
    "500": "The answer failed; the server's log says where",
    "503": "No model is ready, or the audit log or the ledger cannot be written",
    "504": "The answer took too long",
}
_RETRY_AFTER = {"description": "Seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}
_PACKED = (
    "For many cells: a safetensors file whose metadata holds the request and headers of samples, and whose tensors are "
    "their arrays, named 0.indptr, 0.indices, 0.values and 0.cell_types for the first sample"
)
SCORE_EXAMPLE: Json = {
    "patients": [
        {
            "patient_id": "p1",
            "inputs": {
                "platelets": 110,
                "anc": {"value": 900, "unit": "/uL"},
                "haemoglobin": {"value": 84, "unit": "g/L"},
                "crp": {"value": 46, "unit": "mg/L"},
                "ferritin": 1480,
                "ldh": 390,
                "creatinine": {"value": 88, "unit": "umol/L"},
            },
            "daily_counts": {
                "anc": [
                    {"day": 0, "value": 0.9},
                    {"day": 4, "value": 0.3},
                    {"day": 9, "value": 80, "unit": "/uL"},
                    {"day": 14, "value": 1.1},
                ]
            },
            "known_until_day": 30,
            "crs": {"fever": True, "hypotension": "fluids", "hypoxia": "none"},
            "icans": {"ice": 8, "consciousness": "alert", "seizure": "none", "motor": "none", "pressure": "none"},
        }
    ]
}
"""Nobody's values."""


OUTCOMES_EXAMPLE: Json = {
    "patients": [
        {"patient_id": "p1", "follow_up_days": 240, "events": [{"event": "infection", "day": 57, "grade": 3}]},
        {"patient_id": "p2", "follow_up_days": 365},
    ]
}
"""Nobody's, likewise."""


def document(
    card: ModelCard | None,
    explained: ExplainAnswer | None = None,
    watched: MonitorAnswer | None = None,
    followed: StatesAnswer | None = None,
) -> Json:
    """The OpenAPI 3.0.3 document; examples are those of the card, and its example explained, watched and followed."""
    _, schemas = models_json_schema(
        [
            (PredictRequest, "validation"),
            (PredictAnswer, "serialization"),
            (ExplainAnswer, "serialization"),
            (MonitorRequest, "validation"),
            (MonitorAnswer, "serialization"),
            (StatesRequest, "validation"),
            (StatesAnswer, "serialization"),
            (ModelCard, "serialization"),
            (OutcomesRequest, "validation"),
            (OutcomesAnswer, "serialization"),
            (ScoreRequest, "validation"),
            (ScoresAnswer, "serialization"),
            (ScoreList, "serialization"),
            (Problem, "serialization"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    example = card.example.model_dump(mode="json") if card else {}
    why = explained.model_dump(mode="json") if explained else None
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Sequela",
            "version": card.version if card else "no model",
            "description": "Cumulative incidence of late complications of CAR-T cell therapy, others competing. "
            "All times are days. For research; no medical device. FHIR R4 is described at /fhir/metadata, CDS Hooks at "
            "/cds-services.",
        },
        "servers": [{"url": "."}],
        "paths": {
            "/v1/predict": {
                "post": _predict(
                    "predict",
                    "Predict for many patients",
                    "One prediction a patient, in the order of the request",
                    example.get("request"),
                    ("PredictAnswer", example.get("answer")),
                )
            },
            "/v1/explain": {
                "post": _predict(
                    "explain",
                    f"Explain the risks of up to {MAX_EXPLAINED} patients",
                    "What each part of a record adds to the risk of the average patient",
                    example.get("request"),
                    ("ExplainAnswer", why),
                )
            },
            "/v1/monitor": {"post": _monitor(example.get("request"), watched)},
            "/v1/states": {"post": _states(example.get("request"), followed)},
            "/v1/outcomes": {"post": _outcomes()},
            "/v1/scores": {"get": _score_list(), "post": _scores()},
            "/v1/model": {"get": _get("The model card", "ModelCard")},
            "/v1/schema": {"get": _schema()},
            "/livez": {"get": _probe("The process lives")},
            "/readyz": {"get": _probe("The model reproduced its own example")},
        },
        "security": [{}, {"key": []}],  # a service on its own machine alone has no keys
        "components": {
            "schemas": {name: to_openapi_30(schema) for name, schema in schemas["$defs"].items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
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
    for bound in ("Minimum", "Maximum"):  # in 3.0 a word beside the bound, and no bound itself
        if not isinstance(new.get(f"exclusive{bound}", True), bool):  # of a part that was merged, it is done
            new |= {bound.lower(): new[f"exclusive{bound}"], f"exclusive{bound}": True}
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
    return {code: _refusal(code) for code in _REFUSALS if code != "404"}


def _refusal(code: str) -> Json:
    schema = {"$ref": "#/components/schemas/Problem"}
    headers = {"headers": {"Retry-After": _RETRY_AFTER}} if code == "429" else {}
    return {"description": _REFUSALS[code], **headers, "content": {PROBLEM: {"schema": schema}}}


def _predict(name: str, summary: str, said: str, request: JsonValue, answer: tuple[str, JsonValue]) -> Json:
    """An operation that takes patients, as JSON or packed."""
    packed = {"schema": {"type": "string", "format": "binary", "description": _PACKED}}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": _content("PredictRequest", request) | {PACKED: packed}},
        "responses": {"200": {"description": said, "content": _content(*answer)}, **_refusals()},
    }


def _monitor(request: JsonValue, watched: MonitorAnswer | None) -> Json:
    asked = {"patients": request["patients"]} if isinstance(request, dict) else None
    told = None if watched is None else watched.model_dump(mode="json")
    answer = {
        "description": "One course a patient, in the order of the request",
        "content": _content("MonitorAnswer", told),
    }
    return {
        "operationId": "monitor",
        "summary": "The risk at each visit so far, what moved it, and which value would tell most next",
        "description": "Patients are watched until their first event. Who had one of the endpoint by `landmark_day`, "
        "of interest or competing, is refused with 400, and `field` names it: `patients[0].events[1]`. To see the "
        "course until then, give a `landmark_day` before it. Alerts are those of `alert_rule`, which the answer tells "
        "with what it did for patients not trained on, or, where it is null, of the endpoint's tiers.",
        "requestBody": {"required": True, "content": _content("MonitorRequest", asked)},
        "responses": {"200": answer, **_refusals()},
    }


def _states(request: JsonValue, followed: StatesAnswer | None) -> Json:
    asked = {"patients": request["patients"], "worth": {}} if isinstance(request, dict) else None
    told = None if followed is None else followed.model_dump(mode="json")
    answer = {
        "description": "Each patient's states, and on what they rest (`basis`), in the order of the request",
        "content": _content("StatesAnswer", told),
    }
    return {
        "operationId": "states",
        "summary": "Expected days in each state (event-free, complication, relapse, death), and what they are worth",
        "requestBody": {"required": True, "content": _content("StatesRequest", asked)},
        "responses": {"200": answer, **_refusals()},
    }


def _schema() -> Json:
    summary = "JSON Schema of a request to this model"
    answer = {"description": summary, "content": {SCHEMA: {"schema": {"type": "object"}}}}
    return {"summary": summary, "responses": {"200": answer, **_get_refusals()}}


def _outcomes() -> Json:
    absent = {"404": _refusal("404")}
    kept = {"description": "How many are kept", "content": _content("OutcomesAnswer", {"received": 2})}
    return {
        "operationId": "outcomes",
        "summary": "Tell what became of patients, to compare it with what was predicted",
        "requestBody": {"required": True, "content": _content("OutcomesRequest", OUTCOMES_EXAMPLE)},
        "responses": {"200": kept, **_refusals(), **absent},
    }


def _score_list() -> Json:
    summary = "The published scores and grades"
    refusals = {code: body for code, body in _get_refusals().items() if code != "503"}  # scores need no model
    answer = {"description": summary, "content": _content("ScoreList")}
    return {"summary": summary, "responses": {"200": answer, **refusals}}


def _scores() -> Json:
    answer = score_answer(ScoreRequest.model_validate(SCORE_EXAMPLE)).model_dump(mode="json")
    return {
        "operationId": "scores",
        "summary": "Published scores and grades of many patients",
        "requestBody": {"required": True, "content": _content("ScoreRequest", SCORE_EXAMPLE)},
        "responses": {
            "200": {
                "description": "The scores of each patient, in the order of the request",
                "content": _content("ScoresAnswer", answer),
            },
            **_refusals(),
        },
    }


def _get(summary: str, schema: str) -> Json:
    answer = {"description": summary, "content": _content(schema)}
    return {"summary": summary, "responses": {"200": answer, **_get_refusals()}}


def _get_refusals() -> Json:
    return {code: _refusal(code) for code in ("401", "403", "429", "503", "504")}


def _probe(summary: str) -> Json:
    return {"summary": summary, "responses": {"200": {"description": "Yes"}, "503": {"description": "No"}}}
