"""Patients as Bundles of FHIR, written apart from the code that reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

INFUSION = date(2026, 3, 2)
LOINC = {"ferritin": "2276-4", "haemoglobin": "718-7", "crp": "1988-5", "anc": "751-8", "platelets": "777-3"}
UNITS = {"ferritin": "ng/mL", "haemoglobin": "g/L", "crp": "mg/L", "anc": "/uL", "platelets": "10*9/L"}
ICD_10_CM = {"icans": "G92.0", "infection": "A41.9"}
Json = dict[str, Any]


def day(days: float) -> str:
    """The date so many days after infusion."""
    return (INFUSION + timedelta(days=days)).isoformat()


def observation(code: str, days: float, value: float, unit: str, **more: Any) -> Json:
    """A laboratory value."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": day(days),
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
        **more,
    }


def level(variable: str, value: str, days: float = 0) -> Json:
    """A variable of the model's own, by its name and one of its levels."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "urn:sequela:variables", "code": variable}]},
        "effectiveDateTime": day(days),
        "valueCodeableConcept": {"coding": [{"system": "urn:sequela:variables", "code": value}]},
    }


def condition(event: str, days: float, grade: int | None = None) -> Json:
    """Something that happened."""
    code = ICD_10_CM[event] + (str(grade) if grade and event == "icans" else "")
    found: Json = {
        "resourceType": "Condition",
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": code}]},
        "subject": {"reference": "Patient/p1"},
        "onsetDateTime": day(days),
    }
    if grade and event != "icans":
        found["severity"] = {"coding": [{"system": "urn:sequela:grades", "code": str(grade)}]}
    return found


def verified(status: str) -> Json:
    """How certain a diagnosis is."""
    system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    return {"verificationStatus": {"coding": [{"system": system, "code": status}]}}


def infusion(code: str = "38228", system: str = "http://www.ama-assn.org/go/cpt") -> Json:
    """The procedure that is day 0."""
    return {
        "resourceType": "Procedure",
        "id": "infusion",
        "status": "completed",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": "Patient/p1"},
        "performedDateTime": f"{INFUSION.isoformat()}T11:20:00+01:00",
    }


def bundle(*resources: Json, asked_on: float = 30, age: float | None = None, **more: Any) -> Json:
    """A Bundle of one patient, asked about some days after infusion."""
    patient: Json = {"resourceType": "Patient", "id": "p1"}
    if age is not None:
        patient["birthDate"] = date(INFUSION.year - int(age), 1, 15).isoformat()
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": f"{day(asked_on)}T09:00:00Z",
        "entry": [{"resource": resource} for resource in (patient, infusion(), *resources)],
        **more,
    }


def bundle_of(record: Mapping[str, Any]) -> Json:
    """The Bundle that says what a record of the plain API says, but for its samples."""
    resources = []
    for name, value in record["baseline"].items():
        if value is None or name == "age":
            continue
        resources.append(
            level(name, value) if isinstance(value, str) else observation(LOINC[name], 0, value, UNITS[name])
        )
    for i, one in enumerate(record["measurements"]):
        name = one["variable"]
        resources.append(observation(LOINC[name], one["day"], one["value"], UNITS[name], id=f"m{i}"))
    resources += [condition(one["event"], one["day"], one.get("grade")) for one in record["events"]]
    return bundle(*resources, asked_on=max(record["landmark_day"], 0), age=record["baseline"].get("age"))
