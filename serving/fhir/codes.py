"""Codes by which a health record names what models know: events, infusions, and codes of our own for all else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ICD_10 = (
    "http://hl7.org/fhir/sid/icd-10",
    "http://hl7.org/fhir/sid/icd-10-cm",
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
)
ICD_10_PCS = ("http://www.cms.gov/Medicare/Coding/ICD10", "http://hl7.org/fhir/sid/icd-10-pcs")
CPT = "http://www.ama-assn.org/go/cpt"
ATC = "http://www.whocc.no/atc"
VARIABLES = "urn:sequela:variables"
"""A code is the name of a variable of the model; a value's code is one of its levels."""
EVENTS = "urn:sequela:events"
"""A code is the name of an event or a cause."""
PROCEDURES = "urn:sequela:procedures"
INFUSION = "infusion"
"""The code of ours for the infusion."""

_SPELT = {
    "10*3/uL": ("k/ul", "k/mcl", "k/mm3", "x10e3/ul", "10e3/ul", "10^3/ul", "x10^3/ul", "thou/ul", "thousand/ul"),
    "10*9/L": ("giga/l", "10^9/l", "x10^9/l", "10e9/l", "x10e9/l", "gpt/l"),
    "/uL": ("cells/ul", "cells/mcl", "cells/mm3", "/mcl", "/mm3"),
    "ug/L": ("mcg/l",),
    "ug/mL": ("mcg/ml",),
}
UNITS: Mapping[str, str] = {spelt: unit for unit, ways in _SPELT.items() for spelt in ways}
"""UCUM of units as laboratories write them, in small letters."""

Code = tuple[str, str]
"""System and code."""

_GRADED = {"crs": "D89.83", "icans": "G92.0"}
"""ICD-10-CM codes whose next digit is the grade (1 to 5; others: not graded)."""
_INFECTIONS = (*"AB", *(f"J{number:02d}" for number in (*range(9, 19), *range(20, 23))), "L03", "N39.0", "U07.1")
_NO_INFECTIONS = ("B18", *(f"B{number}" for number in (*range(20, 25), *range(35, 38), *range(90, 95))))
"""ICD-10 codes: infectious diseases (chapter I) but chronic hepatitis, HIV, superficial mycoses and late effects;
infections of the airways, cellulitis, of the urinary tract, and COVID-19."""
_PRODUCTS = (*(f"{product}7" for product in "ACGHJKMN"), "C3")
"""Last two characters of an ICD-10-PCS code: products, and CAR-T cells in general (new technology, groups 3 and 7)."""
_INFUSIONS: Mapping[str, tuple[str, ...]] = {
    CPT: ("38228", "0540T"),
    **dict.fromkeys(ICD_10_PCS, tuple(f"XW0{vein}3{product}" for vein in "34" for product in _PRODUCTS)),
    PROCEDURES: (INFUSION,),
}
"""CAR-T cells into a peripheral or central vein."""
INFUSION_CODES: tuple[Code, ...] = tuple((system, code) for system, codes in _INFUSIONS.items() for code in codes)


def parted(code: str) -> Code:
    """System and code of ``system|code``."""
    system, _, own = code.partition("|")
    return system, own


def matches(code: Code, known: Code) -> bool:
    """Whether a code is a known one; an ICD-10 code is also what stands below it."""
    if code[0] != known[0]:
        return False
    return code[1].startswith(known[1]) if code[0] in ICD_10 else code[1] == known[1]


def is_infusion(codes: Iterable[Code]) -> bool:
    """Whether a procedure is the infusion of CAR-T cells."""
    return any(code in INFUSION_CODES for code in codes)


def event_of(codes: Iterable[Code]) -> tuple[str, int | None] | None:
    """The event that a condition is, with its grade where its code has one; None: none that is known."""
    for system, code in codes:
        if system == EVENTS:
            return code, None
        if system not in ICD_10:
            continue
        for event, stem in _GRADED.items():
            if code.startswith(stem):
                last = code[len(stem) : len(stem) + 1]
                return event, int(last) if last in tuple("12345") else None
        if code.startswith(_INFECTIONS) and not code.startswith(_NO_INFECTIONS):
            return "infection", None
    return None
