"""A call of a service: what it says, and the patient's record that came with it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from features.errors import InputError
from serving.cds.services import PREFETCHED, Service
from serving.fhir.entries import Entry, entries_of
from serving.fhir.resources import read_as

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
        MissingPrefetchError: A part of it was not, or not whole.
        InputError: A part is no such thing, or of another patient.
    """
    sent = call.prefetch or {}
    for name in PREFETCHED:
        unanswered = name not in sent or (name == "patient" and sent[name] is None)
        if unanswered or (isinstance(sent[name], dict) and sent[name].get("resourceType") == "OperationOutcome"):
            rule = "must come with the call, as the service's prefetch says; null where there is nothing of the kind"
            raise MissingPrefetchError(f"request.prefetch.{name}", rule)
        _require_whole(sent[name], f"request.prefetch.{name}")
    patient = sent["patient"]
    if not isinstance(patient, dict) or patient.get("resourceType") != "Patient":
        raise InputError("request.prefetch.patient", "must be a Patient")
    if str(patient.get("id")) != call.context.patientId.removeprefix("Patient/"):
        raise InputError("request.prefetch.patient.id", "must be the patient of the context")
    found = [Entry(patient, "request.prefetch.patient", f"Patient/{call.context.patientId}")]
    for name in PREFETCHED[1:]:
        found += [] if sent[name] is None else entries_of(sent[name], f"request.prefetch.{name}")
    return found


def _require_whole(sent: Any, place: str) -> None:  # noqa: ANN401  (any JSON)
    """Refuse one page of several, of which the others were not sent along.

    Raises:
        MissingPrefetchError: It names a next page.
    """
    links = sent.get("link") if isinstance(sent, dict) else None
    if isinstance(links, list) and any(isinstance(one, dict) and one.get("relation") == "next" for one in links):
        rule = "must name no next page: all pages of the answer have to come with the call, as one Bundle"
        raise MissingPrefetchError(f"{place}.link", rule)
