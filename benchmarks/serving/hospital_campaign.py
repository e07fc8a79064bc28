"""Spoilt Bundles and calls of CDS Hooks by the ten thousand: `benchmarks.serving.campaign` in the hospital's language.

    python -m benchmarks.serving.hospital_campaign --cases 10000

Half are Bundles, a fifth Parameters that hold one, the rest calls of both services and feedback. Writes
``results/serving_hospital_campaign.md``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.serving.campaign import NUMBER, TEXT, campaign, damage, options, spoil
from serving.fhir.media import FHIR
from serving.packed import JSON

RESULT = Path(__file__).parents[1] / "results" / "serving_hospital_campaign.md"
RISK, VIEW = "/fhir/$predict-risk", "/cds-services/sequela-patient-view"
ORDER, FEEDBACK = "/cds-services/sequela-order-select", f"{VIEW}/feedback"
HOOK = "6f1e2ad0-0000-4000-8000-000000000001"
ATC, CPT, CM = "http://www.whocc.no/atc", "http://www.ama-assn.org/go/cpt", "http://hl7.org/fhir/sid/icd-10-cm"
Json = Any


def day(days: int, infusion: date) -> str:
    """The date so many days after infusion."""
    return (infusion + timedelta(days=days)).isoformat()


def coded(system: str, code: str) -> Json:
    """A CodeableConcept."""
    return {"coding": [{"system": system, "code": code, "display": TEXT}], "text": TEXT}


def resources(infusion: date) -> dict[str, list[Json]]:
    """A sound record, by kind, with values that occur nowhere else."""
    subject = {"reference": f"Patient/{TEXT}"}
    value = {"value": NUMBER, "unit": "ng/mL", "system": "http://unitsofmeasure.org", "code": "ng/mL"}
    measured = {"resourceType": "Observation", "status": "final", "subject": subject, "valueQuantity": value}
    measured |= {"code": coded("http://loinc.org", "2276-4"), "note": [{"text": TEXT}]}
    ill = {"resourceType": "Condition", "subject": subject, "code": coded(CM, "A41.9")}
    infused = {"resourceType": "Procedure", "id": "infusion", "status": "completed", "subject": subject}
    return {
        "Patient": [{"resourceType": "Patient", "id": TEXT, "birthDate": "1961-05-04", "name": [{"text": TEXT}]}],
        "Procedure": [infused | {"performedDateTime": day(0, infusion), "code": coded(CPT, "38228")}],
        "Observation": [
            measured | {"id": "first", "effectiveDateTime": day(-2, infusion), "meta": {"versionId": "1"}},
            measured | {"effectiveDateTime": f"{day(3, infusion)}T08:30:00+02:00", "issued": day(4, infusion)},
            measured | {"status": "entered-in-error", "effectiveDateTime": day(5, infusion)},
        ],
        "Condition": [ill | {"onsetDateTime": day(9, infusion), "severity": coded("urn:sequela:grades", "2")}],
    }


def bundle(found: list[Json], **more: str) -> Json:
    """A Bundle."""
    entries = [
        {"fullUrl": f"https://ehr.example/fhir/{one['resourceType']}/{i}", "resource": one}
        for i, one in enumerate(found)
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries, **more}


def sound() -> dict[str, Json]:
    """Requests by their kind."""
    today = datetime.now(UTC).date()
    record = resources(today - timedelta(days=20))
    whole = bundle([one for kind in record.values() for one in kind], timestamp=f"{today}T00:00:00Z")
    asked = [{"name": "bundle", "resource": whole}, {"name": "date", "valueDate": today.isoformat()}]
    asked.append({"name": "landmark-day", "valueDecimal": 7})
    prefetch = {"patient": record["Patient"][0]} | {
        f"{kind.lower()}s": bundle(record[kind]) for kind in ("Procedure", "Observation", "Condition")
    }
    view = {"hook": "patient-view", "hookInstance": HOOK, "context": {"userId": TEXT, "patientId": TEXT}}
    order = {"resourceType": "MedicationRequest", "id": "o1", "medicationCodeableConcept": coded(ATC, "J06BA02")}
    selected = view["context"] | {"selections": ["MedicationRequest/o1"], "draftOrders": bundle([order])}
    given = {"card": HOOK, "outcome": "overridden", "outcomeTimestamp": f"{today}T00:00:00Z"}
    given["overrideReason"] = {
        "reason": {"code": "known", "system": "urn:sequela:override-reasons"},
        "userComment": TEXT,
    }
    return {
        "bundle": whole,
        "parameters": {"resourceType": "Parameters", "parameter": asked},
        "view": view | {"prefetch": prefetch},
        "order": view | {"hook": "order-select", "context": selected, "prefetch": prefetch},
        "feedback": {"feedback": [given]},
    }


PATHS = {"bundle": RISK, "parameters": RISK, "view": VIEW, "order": ORDER, "feedback": FEEDBACK}


def cases(n: int, seed: int) -> Iterator[tuple[str, bytes, str]]:
    """Path, body and media type of each."""
    rng, requests = random.Random(seed), sound()  # noqa: S311  no secret
    for _ in range(n):
        kind = rng.choices(tuple(PATHS), (50, 20, 15, 10, 5))[0]
        request = requests[kind]
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            request = spoil(request, rng)
        body = json.dumps(request).encode()
        for _ in range(rng.choice((0, 0, 0, 0, 0, 1))):
            body = damage(body, rng) if body else body
        yield PATHS[kind], body, FHIR if PATHS[kind] == RISK and rng.random() < 0.98 else JSON


def main() -> None:
    """Spoil, ask, write."""
    words = options().parse_args()
    title = "Spoilt Bundles, and calls of CDS Hooks"
    text = campaign(cases(words.cases, words.seed), words, "hospital_campaign", title)
    RESULT.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
