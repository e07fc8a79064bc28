"""The resources of a Bundle: which are read, where they stood, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.errors import InputError
from serving.fhir.resources import Condition, Element, Observation, Patient, Procedure, Reference, read_as
from serving.refusals import TooLargeError

MOST_ENTRIES = 50_000
LONGEST_URL = 2_000
READ: Mapping[str, type[Element]] = {
    "Patient": Patient,
    "Observation": Observation,
    "Condition": Condition,
    "Procedure": Procedure,
}
OTHER = "other"
"""Of kinds that are not read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource as it came."""

    content: Any
    """Any JSON; None where an entry holds no resource."""
    place: str
    """As faults name it."""
    full_url: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A resource, and where it is."""

    resource: Any
    place: str
    reference: str
    """By which answers name it; empty where it has neither an id nor an address."""
    full_url: str


def entries_of(bundle: Any, place: str = "Bundle") -> list[Entry]:  # noqa: ANN401  (any JSON)
    """What a Bundle holds.

    Raises:
        InputError: It is none, or one page of several.
    """
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise InputError(f"{place}.resourceType", "must be Bundle")
    found = bundle.get("entry", [])
    if not isinstance(found, list):
        raise InputError(f"{place}.entry", "must be a list")
    links = bundle.get("link")
    if isinstance(links, list) and any(isinstance(one, dict) and one.get("relation") == "next" for one in links):
        raise InputError(f"{place}.link", "must name no next page: the Bundle has to be whole")
    entries = []
    for i, entry in enumerate(found):
        own = f"{place}.entry[{i}].resource"
        if not isinstance(entry, dict):
            raise InputError(own, "must be a resource")
        url = str(entry.get("fullUrl") or "")
        entries.append(Entry(entry.get("resource"), own, url if len(url) <= LONGEST_URL else ""))
    return entries


def by_kind(found: Sequence[Entry]) -> dict[str, list[Placed]]:
    """What is read, by kind; under `OTHER` what is not.

    Raises:
        InputError: A resource is none, or there are too many.
    """
    if len(found) > MOST_ENTRIES:
        raise TooLargeError("Bundle.entry", f"may hold at most {MOST_ENTRIES:,} resources")
    entries: dict[str, list[Placed]] = {kind: [] for kind in (*READ, OTHER)}
    for entry in found:
        if entry.content is not None and not isinstance(entry.content, dict):
            raise InputError(entry.place, "must be a resource")
        kind = str(entry.content.get("resourceType")) if entry.content else OTHER
        read = read_as(READ[kind], entry.content, entry.place) if kind in READ else None
        own_id = getattr(read, "id", None)
        reference = f"{kind}/{own_id}" if own_id else entry.full_url
        entries[kind if read is not None else OTHER].append(Placed(read, entry.place, reference, entry.full_url))
    return entries


def the_patient(found: Mapping[str, Sequence[Placed]]) -> Placed:
    """The one Patient, whose all else is.

    Raises:
        InputError: There is none, or several, or one without an id; or a resource is of another patient.
    """
    patients = found["Patient"]
    if len(patients) != 1:
        raise InputError("Bundle.entry", f"must hold one Patient; it holds {len(patients)}")
    if not patients[0].reference:
        raise InputError(f"{patients[0].place}.id", "is required")
    for kind in READ:
        for one in found[kind] if kind != "Patient" else ():
            if not _is_of(one, patients[0]):
                rule = "must be the Patient of this Bundle, or be left out"
                raise InputError(f"{one.place}.subject.reference", rule)
    return patients[0]


def _is_of(one: Placed, patient: Placed) -> bool:
    said = (one.resource.subject or Reference()).reference
    if said is None:
        return True
    said = said.partition("/_history/")[0]
    return said in (patient.reference, patient.full_url) or said.endswith(f"/{patient.reference}")
