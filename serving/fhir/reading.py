"""Which resources are read: of the last version, in force, of known meaning, and about the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.errors import InputError
from serving.fhir.codes import VERIFICATION
from serving.fhir.entries import MODIFIED, Entry, Placed, is_modified, require_plain
from serving.fhir.gathered import Gathered
from serving.fhir.known import Known
from serving.fhir.resources import Condition, Element, Observation, Patient, Procedure, Resource, read_as
from serving.fhir.versions import current
from serving.refusals import TooLargeError

MOST_ENTRIES = 50_000
READ: Mapping[str, type[Element]] = {
    "Patient": Patient,
    "Observation": Observation,
    "Condition": Condition,
    "Procedure": Procedure,
}
HOLDING = ("preliminary", "final", "amended", "corrected")
"""Statuses of values that hold."""
UNTRUE = ("entered-in-error", "refuted")
_OF_LIFE = ("resourceType", "id", "deceasedBoolean", "deceasedDateTime")
"""Elements of a Patient without which there is no answer."""


def by_kind(found: Sequence[Entry], known: Known, gathered: Gathered, *, lenient: bool) -> dict[str, list[Placed]]:
    """The resources that are read, by kind.

    Args:
        found: As they came.
        known: What the model knows.
        gathered: Is told of what is left out.
        lenient: Leave out what cannot be read, and say so; else it is refused.

    Raises:
        InputError: A resource that may enter is none, or there are too many.
    """
    if len(found) > MOST_ENTRIES:
        raise TooLargeError("Bundle.entry", f"may hold at most {MOST_ENTRIES:,} resources")
    read: dict[str, list[Placed]] = {kind: [] for kind in READ}
    for entry in current(found, READ, gathered, lenient=lenient):
        try:
            one = _read(entry, known, gathered, lenient=lenient)
        except InputError:
            if not lenient or entry.kind == "Patient":
                raise
            gathered.unreadable(f"{entry.kind}/{entry.id}" if entry.id else entry.place)
            continue
        if one is not None:
            read[entry.kind].append(one)
    return read


def _read(entry: Entry, known: Known, gathered: Gathered, *, lenient: bool) -> Placed | None:
    """A resource; None where it is not to be read, which is said."""
    content = {} if entry.content is None else entry.content
    if not isinstance(content, dict):
        raise InputError(entry.place, "must be a resource")
    why = entry.unread or ("" if entry.kind in READ else "of kinds that are not read")
    if not why and entry.kind == "Patient":
        require_plain(content, entry.place)
    why = why or _not_in_force(entry.kind, content)
    if not why and entry.kind == "Observation" and not _measures(entry, known):
        why = "of which the model knows nothing"
    if why:
        gathered.left(why)
        return None
    if entry.kind == "Patient":
        read: Element = _patient(entry, gathered, lenient=lenient)
    else:
        read = read_as(READ[entry.kind], content, entry.place)
    reference = f"{entry.kind}/{entry.id}" if entry.id else entry.full_url
    return Placed(read, entry.place, reference, entry.full_url, entry.base)


def _not_in_force(kind: str, content: Mapping[str, Any]) -> str:
    """Why a resource does not hold, before anything else of it is read; empty: it does."""
    if is_modified(content):
        return MODIFIED
    if kind == "Observation" and content.get("status") not in HOLDING:
        return "not final"
    if kind == "Procedure" and content.get("status") != "completed":
        return "not completed"
    if kind == "Condition" and any(code in UNTRUE for code in _verified(content)):
        return "refuted or entered in error"
    return ""


def _verified(content: Mapping[str, Any]) -> list[Any]:
    """Codes of a Condition's verification status."""
    status = content.get("verificationStatus")
    coding = status.get("coding") if isinstance(status, dict) else None
    codings = [one for one in coding if isinstance(one, dict)] if isinstance(coding, list) else []
    return [one.get("code") for one in codings if one.get("system") == VERIFICATION]


def _measures(entry: Entry, known: Known) -> bool:
    """Whether an Observation is of a variable of the model; of others no value is looked at."""
    outline = read_as(Resource, {"code": entry.content.get("code", {})}, entry.place)
    return bool(known.variables_of(outline.code.codes))


def _patient(entry: Entry, gathered: Gathered, *, lenient: bool) -> Patient:
    try:
        return read_as(Patient, entry.content, entry.place)
    except InputError:
        if not lenient:
            raise
    alive = {key: value for key, value in entry.content.items() if key in _OF_LIFE}
    read = read_as(Patient, alive, entry.place)
    gathered.unreadable(entry.place)
    return read
