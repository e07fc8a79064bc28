"""A call of a service: what it says, and the patient's record that came with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from features.errors import InputError
from features.guidance import OPTIONS
from serving.cds.services import PREFETCHED, Service
from serving.fhir.codes import ATC, Code
from serving.fhir.entries import Entry, entries_of
from serving.fhir.resources import CodeableConcept, read_as

GUIDANCE = "urn:sequela:options"
"""A code is the key of an option of guidance."""
ORDERED = ("medicationCodeableConcept", "code")
"""Elements of an order that say what is ordered."""
UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
Text = Annotated[str, Field(min_length=1, max_length=1_000)]


class MissingPrefetchError(InputError):
    """What the service asks to be sent along did not come."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Context(_Message):
    """Where the physician is."""

    patientId: Text  # noqa: N815  (the standard's name)
    selections: list[Text] = []
    draftOrders: dict[str, Any] | None = None  # noqa: N815


class Call(_Message):
    """A hook that fired. What else it says, as where the client's server is, is not used: nothing is fetched."""

    hook: Text
    hookInstance: Annotated[str, Field(pattern=UUID)]  # noqa: N815
    context: Context
    prefetch: dict[str, Any] | None = None
    """By key; null where the client's server has nothing of the kind (CDS Hooks 2.0, prefetch template)."""


def read_call(content: Any, service: Service) -> Call:  # noqa: ANN401  (any JSON)
    """Read a call of a service.

    Raises:
        InputError: It is none, or of another hook.
    """
    call = read_as(Call, content, "request")
    if call.hook != service.hook:
        raise InputError("request.hook", f"must be {service.hook}: that is what {service.id} is for")
    return call


def record_of(call: Call) -> list[Entry]:
    """The patient's record, as it was sent along.

    Raises:
        MissingPrefetchError: A part of it was not.
        InputError: A part is no such thing, or of another patient.
    """
    sent = call.prefetch or {}
    for name in PREFETCHED:
        unanswered = name not in sent or (name == "patient" and sent[name] is None)
        if unanswered or (isinstance(sent[name], dict) and sent[name].get("resourceType") == "OperationOutcome"):
            rule = "must come with the call, as the service's prefetch says; null where there is nothing of the kind"
            raise MissingPrefetchError(f"request.prefetch.{name}", rule)
    patient = sent["patient"]
    if not isinstance(patient, dict) or patient.get("resourceType") != "Patient":
        raise InputError("request.prefetch.patient", "must be a Patient")
    if str(patient.get("id")) != call.context.patientId.removeprefix("Patient/"):
        raise InputError("request.prefetch.patient.id", "must be the patient of the context")
    found = [Entry(patient, "request.prefetch.patient", f"Patient/{call.context.patientId}")]
    for name in PREFETCHED[1:]:
        found += [] if sent[name] is None else entries_of(sent[name], f"request.prefetch.{name}")
    return found


def options_ordered(call: Call) -> tuple[str, ...]:
    """Keys of the options of guidance that the selected draft orders are about, by their ATC codes.

    Raises:
        InputError: The draft orders are no Bundle.
    """
    found: dict[str, None] = {}
    for code in _ordered(call):
        for key, option in OPTIONS.items():
            if code == (GUIDANCE, key) or (code[0] == ATC and code[1].startswith(option.atc)):
                found[key] = None
    return tuple(found)


def _ordered(call: Call) -> Iterator[Code]:
    selected = set(call.context.selections)
    for entry in entries_of(call.context.draftOrders or {"resourceType": "Bundle"}, "request.context.draftOrders"):
        order = entry.content
        if not isinstance(order, dict):
            raise InputError(entry.place, "must be a resource")
        if f"{order.get('resourceType')}/{order.get('id')}" not in selected:
            continue
        for name in ORDERED:
            if name in order:
                yield from read_as(CodeableConcept, order[name], f"{entry.place}.{name}").codes
