"""Codes by which a health record names what models know: events, infusions, and codes of our own for all else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from features.units import known

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
SNOMED_CT = "http://snomed.info/sct"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD_10 = ("http://hl7.org/fhir/sid/icd-10", ICD_10_CM, "http://fhir.de/CodeSystem/bfarm/icd-10-gm")
ICD_10_PCS = ("http://www.cms.gov/Medicare/Coding/ICD10", "http://hl7.org/fhir/sid/icd-10-pcs")
CPT = "http://www.ama-assn.org/go/cpt"
ATC = "http://www.whocc.no/atc"
VARIABLES = "urn:sequela:variables"
"""A code is the name of a variable of the model; a value's code is one of its levels."""
EVENTS = "urn:sequela:events"
"""A code is the name of an event or a cause."""
GRADES = "urn:sequela:grades"
"""A code is a grade of CTCAE (or of ASTCT, of CRS and ICANS), from 1 to 5."""
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
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
_SPELT_EXACTLY = {"G/L": "10*9/L", "T/L": "10*12/L"}
"""Giga and tera a litre, as counts are written in Europe; in small letters they would be grams and tonnes."""

Code = tuple[str, str]
"""System and code."""

_GRADED = {"crs": "D89.83", "icans": "G92.0"}
"""ICD-10-CM codes whose next digit is the grade (1 to 5; others: not graded); other ICD-10 has none such."""
_INFECTIONS = (*"AB", *(f"J{number:02d}" for number in (*range(9, 19), *range(20, 23))), "L03", "N39.0", "U07.1")
_NO_INFECTIONS = ("B18", *(f"B{number}" for number in (*range(20, 25), *range(35, 38), *range(90, 95))))
"""ICD-10 codes: infectious diseases (chapter I) but chronic hepatitis, HIV, superficial mycoses and late effects;
infections of the airways, cellulitis, of the urinary tract, and COVID-19."""
_INFECTIONS_CM = ("R65.20", "R65.21", "T80.211")
"""ICD-10-CM: severe sepsis without and with shock, bloodstream infection due to a central venous catheter."""
_LYMPHOID = tuple(f"C{number}" for number in (*range(81, 87), 88, 90, 91, 96))
"""ICD-10: the diseases that CAR-T cells are given for."""
_MALIGNANCIES = (*(f"C{number:02d}" for number in (*range(76), *range(92, 96))), "D46")
"""ICD-10: primary solid tumours, myeloid leukaemias and myelodysplasia; no metastases (C77 to C79), and none of
`_LYMPHOID`, whose codes do not tell a second one from the first."""
_COMES_BACK = ("relapse", "recurrence")
_SEVERITIES: Mapping[Code, int] = {
    **{(GRADES, str(grade)): grade for grade in range(1, 6)},
    **{(SNOMED_CT, code): grade for grade, code in enumerate(("255604002", "6736007", "24484000"), 1)},
}
"""Grades, and mild, moderate and severe."""
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


@dataclass(frozen=True, slots=True)
class CodedEvent:
    """What a condition is an event of, by its codes."""

    event: str
    grade: int | None = None
    new: bool = True
    """Whether a condition of this kind is one event, that began at its onset. A disease that came back need not be."""
    doubt: str = ""
    """Why its code alone does not show that it was one; empty: it does."""


def event_of(codes: Iterable[Code], clinical: Iterable[Code] = ()) -> CodedEvent | None:
    """The event that a condition is, with its grade where its code has one; None: none that is known.

    Args:
        codes: Of the condition.
        clinical: Of its clinical status.
    """
    back = any(code in _COMES_BACK for system, code in clinical if system == CLINICAL)
    for system, code in codes:
        if system == EVENTS:
            return CodedEvent(code)
        found = _icd_10_event(system, code, back=back) if system in ICD_10 else None
        if found is not None:
            return found
    return None


def _icd_10_event(system: str, code: str, *, back: bool) -> CodedEvent | None:
    if system == ICD_10_CM:
        for event, stem in _GRADED.items():
            if code.startswith(stem):
                last = code[len(stem) : len(stem) + 1]
                return CodedEvent(event, int(last) if last in tuple("12345") else None)
        if code.startswith(_INFECTIONS_CM):
            return CodedEvent("infection")
    if code.startswith(_INFECTIONS) and not code.startswith(_NO_INFECTIONS):
        return CodedEvent("infection")
    if back and code.startswith(_LYMPHOID):
        return CodedEvent("relapse", new=False)
    if code.startswith(_MALIGNANCIES):
        return CodedEvent("second_malignancy", doubt="by a code that an earlier malignancy may have")
    return None


def severity_of(codes: Iterable[Code]) -> int | None:
    """The grade that a condition's severity says."""
    return next((_SEVERITIES[code] for code in codes if code in _SEVERITIES), None)


def ucum(unit: str) -> str:
    """UCUM of a unit as a laboratory writes it; as it is, where it is none that is known here."""
    plain = unit.strip().replace("µ", "u").replace("μ", "u")
    if plain in _SPELT_EXACTLY:
        return _SPELT_EXACTLY[plain]
    return plain if known(plain) else UNITS.get(plain.lower(), plain)
