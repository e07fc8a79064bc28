"""The services: what a client is offered, and what it has to send along (prefetch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from features.encoder import PatientEncoder
from serving.decision import RESEARCH, event_title
from serving.fhir.codes import LOINC, VARIABLES
from serving.fhir.known import loinc_codes
from training.artifact.folder import Artifact

BASE = "/cds-services"
PREFETCHED = ("patient", "procedures", "observations", "conditions")
PAGE = 1_000
"""Resources of a kind that are asked for in one page."""
WHOLE = (
    "Every prefetch key comes with the call, null where there is nothing of the kind, and whole: an answer of several "
    "pages as one Bundle. Nothing is fetched. Laboratory values have LOINC codes and UCUM units, the infusion a code "
    "of CPT or ICD-10-PCS, diagnoses codes of ICD-10."
)
Json = dict[str, Any]


def is_hook(path: str) -> bool:
    """Whether a path is one of CDS Hooks."""
    return path == BASE or path.startswith(f"{BASE}/")


@dataclass(frozen=True, slots=True)
class Service:
    """One of them."""

    id: str
    hook: str
    when: str
    """For people."""
    needs: str = ""
    """Beside what every service does, for people."""


SERVICES = (
    Service("sequela-patient-view", "patient-view", "when a record is opened"),
    Service(
        "sequela-order-select",
        "order-select",
        "when an order is drafted that guidance speaks of",
        "Selected draft orders name what is ordered by an ATC code or the RxNorm code of an ingredient, in the order "
        "or in a Medication that it contains or that lies among the drafts.",
    ),
)
BY_ID = {service.id: service for service in SERVICES}


def discovery(artifact: Artifact | None) -> Json:
    """What there is; without a model, nothing."""
    if artifact is None:
        return {"services": []}
    title = event_title(artifact.manifest.endpoint.event)
    prefetch = _prefetch(artifact.model.encoder)
    return {
        "services": [
            {
                "hook": service.hook,
                "id": service.id,
                "title": f"Risk of {title} after CAR-T cells",
                "description": f"The risk of {title}, others competing, {service.when}. {RESEARCH}",
                "prefetch": prefetch,
                "usageRequirements": f"{WHOLE} {service.needs}".strip(),
            }
            for service in SERVICES
        ]
    }


def _prefetch(encoder: PatientEncoder) -> Json:
    """Queries, in which the client puts the patient."""
    own = "patient={{context.patientId}}"
    known = (*encoder.baseline_inputs, *encoder.measured_inputs)
    codes = [f"{LOINC}|{code}" for name in known for code in loinc_codes(name, encoder.variables[name])]
    codes += [f"{VARIABLES}|{name}" for name in known]
    return {
        "patient": "Patient/{{context.patientId}}",
        "procedures": f"Procedure?{own}&status=completed&_count={PAGE}",
        "observations": f"Observation?{own}&code={','.join(dict.fromkeys(codes))}&_count={PAGE}",
        "conditions": f"Condition?{own}&_count={PAGE}",
    }
