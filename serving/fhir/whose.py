"""Whose a record is: the one Patient, and the resources that are about nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.errors import InputError
from serving.fhir.entries import Placed, base_of
from serving.fhir.gathered import Gathered
from serving.fhir.resources import Identifier, Reference

UNNAMED = "of which is not shown that they are the patient's"
OTHERS = "of another patient"


def the_patient(found: Sequence[Placed], gathered: Gathered, *, lenient: bool) -> Placed:
    """The one Patient.

    Args:
        found: Those that came.
        gathered: Is told of what is left out.
        lenient: Leave out others than the first, as those that a search brought along; else they are refused.

    Raises:
        InputError: There is none, or several, or one without an id.
    """
    different = [one for i, one in enumerate(found) if all(one.resource != other.resource for other in found[:i])]
    if lenient and different:
        gathered.left(OTHERS, len(different) - 1)
        different = different[:1]
    if len(different) != 1:
        raise InputError("Bundle.entry", f"must hold one Patient; it holds {len(different)}")
    if not different[0].reference:
        raise InputError(f"{different[0].place}.id", "is required")
    return different[0]


def own(
    found: Mapping[str, Sequence[Placed]], patient: Placed, gathered: Gathered, *, lenient: bool
) -> dict[str, list[Placed]]:
    """The resources that are about the patient.

    Args:
        found: By kind.
        patient: The one.
        gathered: Is told of what is left out.
        lenient: Leave out what is of others; else it is refused.

    Raises:
        InputError: A resource is of another patient.
    """
    kept: dict[str, list[Placed]] = {}
    for kind in found:
        kept[kind] = []
        for one in found[kind]:
            is_own = kind == "Patient" or _is_of(one, patient)
            if is_own:
                kept[kind].append(one)
            elif is_own is None:
                gathered.left(UNNAMED)
            elif lenient:
                gathered.left(OTHERS)
            else:
                rule = "must be the Patient of this Bundle, or be left out"
                raise InputError(f"{one.place}.subject.reference", rule)
    return kept


def _is_of(one: Placed, patient: Placed) -> bool | None:
    """Whether a resource is about the patient; None: it cannot be told. One that names nobody is."""
    subject: Reference | None = one.resource.subject
    if subject is None:
        return True
    if not subject.reference:
        return True if _is_known_by(subject.identifier, patient.resource.identifier) else None
    said = subject.reference.partition("/_history/")[0]
    home = base_of(patient.full_url) or patient.base
    if said == patient.reference:  # read against the address of what says it
        return not (home and one.base) or home == one.base
    if said == patient.full_url.partition("/_history/")[0]:
        return True
    return bool(home or one.base) and said == f"{home or one.base}/{patient.reference}"


def _is_known_by(identifier: Identifier | None, known: Sequence[Identifier]) -> bool:
    return identifier is not None and bool(identifier.value) and identifier in known
