"""JSON Schemas of the YAML files, for editors: made from the pydantic models, kept in configs/schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from features.errors import SequelaError

KINDS = {
    "run": "experiments.config:RunConfig",
    "sweep": "experiments.sweeps.config:SweepConfig",
    "gate": "experiments.promotion.gate:Gate",
    "endpoint": "features.schema:Endpoint",
    "cohort": "features.schema:CohortCard",
    "simulator": "features.simulator.config:SimulatorConfig",
    "treatments": "features.simulator.treatments:Treatments",
    "import_table": "features.importers.spec:TableSpec",
    "import_single_cell": "features.importers.single_cell_spec:SingleCellSpec",
    "import_omop": "features.importers.omop:OmopSpec",
    "import_meds": "features.importers.meds:MedsSpec",
}
"""Each kind of file, and the model that reads it; imported when asked for, since some bring much with them."""


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of a kind of file, as it is kept in configs/schema.

    Raises:
        SequelaError: There is no such kind; names the nearest.
    """
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, n=1)
        msg = f"schema {kind}: no such kind of file; {f'did you mean {near[0]}? ' if near else ''}there are "
        raise SequelaError(msg + ", ".join(KINDS))
    module, _, name = KINDS[kind].partition(":")
    content: dict[str, Any] = getattr(import_module(module), name).model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | content


def schema_here(kind: str) -> dict[str, Any]:
    """The same, with the models that installed packages provide among those that a run may name."""
    from training.custom_models import find_custom_model
    from training.models.custom import MODELS, kinds_provided

    schema = schema_of(kind)
    unions = list(_unions_by_kind(schema))
    for provided in kinds_provided(MODELS) if unions else ():
        found = find_custom_model(provided)
        if found is not None:
            block = found.config.model_json_schema()
            schema["$defs"] |= block.pop("$defs", {}) | {found.config.__name__: block}
            for union in unions:
                union["oneOf"].append({"$ref": f"#/$defs/{found.config.__name__}"})
                union["discriminator"]["mapping"][provided] = f"#/$defs/{found.config.__name__}"
    return schema


def schema_text(schema: dict[str, Any]) -> str:
    """As it stands in a file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _unions_by_kind(node: object) -> Iterator[dict[str, Any]]:
    """Every place at which blocks are told apart by their kind."""
    if isinstance(node, dict):
        if node.get("discriminator", {}).get("propertyName") == "kind":
            yield node
        for value in node.values():
            yield from _unions_by_kind(value)
    elif isinstance(node, list):
        for value in node:
            yield from _unions_by_kind(value)
