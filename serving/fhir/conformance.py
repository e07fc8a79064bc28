"""What the FHIR interface can do: the CapabilityStatement, and the definition of its operation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from serving.fhir.codes import EVENTS, GRADES, INFUSION_CODES, PROCEDURES, VARIABLES
from serving.fhir.known import loinc_codes
from serving.fhir.media import FHIR
from serving.following import Served

DEFINITION = "OperationDefinition/predict-risk"
"""Where the operation is defined, below the base of the interface."""
Json = dict[str, Any]


def definition_url(public_url: str | None) -> str:
    """By which the operation is known: an address, or where no public one is configured one relative to the base."""
    return DEFINITION if public_url is None else f"{base_url(public_url)}/{DEFINITION}"


def base_url(public_url: str) -> str:
    """Of the interface, for others."""
    return f"{public_url.rstrip('/')}/fhir"


def capability_statement(version: str, public_url: str | None) -> Json:
    """Of a running service.

    Args:
        version: Tag of the model that serves, or what says that none does.
        public_url: Address under which others reach the service; None: none is configured.
    """
    implementation = {"description": "Risk of late complications after CAR-T cells. For research."}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": datetime.now(UTC).date().isoformat(),
        "kind": "instance",
        "software": {"name": "Sequela", "version": version},
        "implementation": implementation | ({} if public_url is None else {"url": base_url(public_url)}),
        "fhirVersion": "4.0.1",
        "format": ["json", FHIR],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "A bearer key with the scope predict, where the service has keys."},
                "resource": [{"type": "OperationDefinition", "interaction": [{"code": "read"}]}],
                "operation": [{"name": "predict-risk", "definition": definition_url(public_url)}],
            }
        ],
    }


def operation_definition(served: Served | None, public_url: str | None) -> Json:
    """Of $predict-risk, with the codes that the model which serves knows."""
    return {
        "resourceType": "OperationDefinition",
        "id": "predict-risk",
        **({} if public_url is None else {"url": definition_url(public_url)}),
        "name": "PredictRisk",
        "title": "Predict the risk of late complications after CAR-T cells",
        "status": "active",
        "kind": "operation",
        "description": _DESCRIPTION + ("" if served is None else _known(served)),
        "affectsState": False,
        "code": "predict-risk",
        "system": True,
        "type": False,
        "instance": False,
        "parameter": [
            _parameter("bundle", "in", 1, "Bundle", "The record of one patient."),
            _parameter("date", "in", 0, "date", "The day of asking; absent: the Bundle's timestamp, or today."),
            _parameter("landmark-day", "in", 0, "decimal", "Day after infusion from which the prediction looks ahead."),
            _parameter("return", "out", 1, "RiskAssessment", "A prediction for each cause and horizon."),
        ],
    }


_DESCRIPTION = f"""A Bundle holds one Patient, a completed Procedure that is the infusion of CAR-T cells (day 0), and
Observations, Conditions and Procedures. It may be posted by itself. Probabilities are decimals from 0 to 1.
Observations are known by LOINC, or by {VARIABLES} and the variable's name; numbers need a UCUM unit. Conditions are
events by {EVENTS}, or by ICD-10 for infections, and by ICD-10-CM for CRS and ICANS with their grades; the grade of
others is their severity, by {GRADES} (1 to 5) or by SNOMED CT (mild, moderate, severe). Infusions are known by
{PROCEDURES}|infusion and {", ".join(sorted({code for _, code in INFUSION_CODES if code != "infusion"}))}."""


def _known(served: Served) -> str:
    """The variables of the model, with their codes, and those of their levels."""
    encoder = served.artifact.model.encoder
    lines = []
    for one in served.card.variables:
        variable = encoder.variables[one.name]
        codes = ", ".join(loinc_codes(one.name, variable))
        unit = f" [{variable.unit}]" if variable.kind == "numeric" else ""
        lines.append(f"- {one.name}{unit}" + (f": LOINC {codes}" if codes else ""))
        for level, level_codes in variable.level_codes.items():
            lines.append(f"  - {level}: {', '.join(level_codes)}")
    return "\n\nThis model knows:\n" + "\n".join(lines)


def _parameter(name: str, use: str, least: int, kind: str, documentation: str) -> Json:
    return {"name": name, "use": use, "min": least, "max": "1", "documentation": documentation, "type": kind}
