"""JSON Schema of a request to one model: its variables with units, ranges and levels, its landmarks, its materials.

Forms and validators read it. It says less than the service checks: values in other units, and whether the arrays of a
sample agree, are no matter of JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.schema import Variable
from serving.messages import ModelCard, PredictRequest, VariableCard

SCHEMA = "application/schema+json"
"""Media type."""
Json = dict[str, Any]


def request_schema(card: ModelCard, variables: Mapping[str, Variable]) -> Json:
    """JSON Schema (2020-12) of a `PredictRequest` to the model of a card, whose encoder knows these variables."""
    schema = PredictRequest.model_json_schema()
    parts = schema["$defs"]
    patient = parts["PatientRecord"]["properties"]
    patient["landmark_day"] |= {"minimum": card.landmark_days[0], "maximum": card.landmark_days[-1]}
    if not card.landmark_days[0] <= 0 <= card.landmark_days[-1]:  # then its default is refused
        del patient["landmark_day"]["default"]
        parts["PatientRecord"]["required"] = ["landmark_day"]
    patient["baseline"] = {
        "type": "object",
        "description": patient["baseline"].get("description", ""),
        "properties": {
            v.name: _baseline(v, variables[v.name].levels) for v in card.variables if "baseline" in v.given_as
        },
        "additionalProperties": False,
    }
    measured = [v.name for v in card.variables if "measurements" in v.given_as]
    materials = () if card.cells is None else card.cells.materials
    known = {
        "measurements": ("MeasurementRecord", "variable", measured),
        "events": ("EventRecord", "event", card.events),
    }
    for place, (record, key, names) in (known | {"samples": ("SampleRecord", "material", materials)}).items():
        if names:
            parts[record]["properties"][key]["enum"] = list(names)
        else:
            patient[place] |= {"maxItems": 0}
    last = card.horizons_days[-1]
    for choice in schema["properties"]["horizons_days"]["anyOf"]:
        if choice.get("type") == "array":
            choice["items"] |= {"exclusiveMinimum": 0, "maximum": last}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Request to {card.name}, {card.version}",
        "description": f"Predicts {card.endpoint.name}. All times are days.",
        **{key: value for key, value in schema.items() if key not in ("title", "description")},
        "examples": [card.example.request.model_dump(mode="json", exclude_defaults=True)],
    }


def _baseline(variable: VariableCard, levels: tuple[str, ...] | None) -> Json:
    """A value of a variable: a number in its unit, a quantity, a level, or null."""
    known = {"description": f"{variable.description or variable.name} [{variable.unit}]"}
    if variable.kind != "numeric":
        text = {"type": "string"} if levels is None else {"enum": list(levels)}
        seen = {"examples": list(variable.levels)} if levels is None and variable.levels else {}
        return {"anyOf": [text, {"type": "null"}], "description": variable.description or variable.name, **seen}
    low, high = variable.range or (None, None)
    bounds = {key: bound for key, bound in (("minimum", low), ("maximum", high)) if bound is not None}
    coding = {} if variable.loinc is None else {"x-loinc": variable.loinc}
    return {"anyOf": [{"type": "number", **bounds}, {"$ref": "#/$defs/Quantity"}, {"type": "null"}], **known, **coding}
