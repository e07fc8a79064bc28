"""What is being ordered: which options of guidance the selected draft orders are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from features.errors import InputError
from features.guidance import OPTIONS, Option
from serving.cds.hooks import Call
from serving.fhir.codes import ATC, Code
from serving.fhir.entries import Entry, entries_of
from serving.fhir.resources import CodeableConcept, Reference, read_as

GUIDANCE = "urn:sequela:options"
"""A code is the key of an option of guidance."""
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ORDERED = ("medicationCodeableConcept", "code")
"""Elements of an order that say what is ordered."""
REFERRED = "medicationReference"
"""Element that names a Medication which says it."""
DRAFTS = "request.context.draftOrders"
Json = Mapping[str, Any]


def options_ordered(call: Call) -> tuple[str, ...]:
    """Keys of the options of guidance that the selected draft orders are about, by the codes of what is ordered.

    Raises:
        InputError: The draft orders are no Bundle of resources.
    """
    found: dict[str, None] = {}
    for code in _ordered(call):
        found |= dict.fromkeys(key for key, option in OPTIONS.items() if _is_about(option, code))
    return tuple(found)


def _is_about(option: Option, code: Code) -> bool:
    system, own = code
    known = {GUIDANCE: own == option.key, ATC: own.startswith(option.atc), RXNORM: own in option.rxnorm}
    return known.get(system, False)


def _ordered(call: Call) -> Iterator[Code]:
    selected = set(call.context.selections)
    drafts = entries_of(call.context.draftOrders or {"resourceType": "Bundle"}, DRAFTS)
    for entry in drafts:
        order = entry.content
        if not isinstance(order, dict):
            raise InputError(entry.place, "must be a resource")
        if f"{order.get('resourceType')}/{order.get('id')}" not in selected:
            continue
        for name in ORDERED:
            if name in order:
                yield from read_as(CodeableConcept, order[name], f"{entry.place}.{name}").codes
        if REFERRED in order:
            said = read_as(Reference, order[REFERRED], f"{entry.place}.{REFERRED}").reference
            yield from _codes_of(_medication(said or "", entry, drafts), entry.place)


def _medication(reference: str, order: Entry, drafts: Sequence[Entry]) -> Json:
    """The Medication that is referred to: contained in the order, or among the drafts; nothing is fetched."""
    inside = order.content.get("contained")
    for one in inside if isinstance(inside, list) else ():
        if isinstance(one, dict) and reference and reference == f"#{one.get('id')}":
            return one
    for entry in drafts:
        if isinstance(entry.content, dict) and reference:
            own = f"{entry.content.get('resourceType')}/{entry.content.get('id')}"
            if reference in (own, entry.full_url) or reference.endswith(f"/{own}"):
                return entry.content
    return {}


def _codes_of(medication: Json, place: str) -> Iterator[Code]:
    """Of a Medication, and of its ingredients; what of it is no code has none."""
    if medication.get("resourceType") != "Medication":
        return
    parts = medication.get("ingredient")
    own = [medication.get("code")]
    own += [one.get("itemCodeableConcept") for one in parts if isinstance(one, dict)] if isinstance(parts, list) else []
    for concept in own:
        if concept is not None:
            yield from read_as(CodeableConcept, concept, f"{place}.{REFERRED}").codes
