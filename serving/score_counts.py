"""Grades of haematotoxicity from the repeated counts of a request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from features.analytes import convert_analyte
from features.errors import InputError
from features.patients import FloatArray, Measurements, Patients
from features.scores.icaht import EARLY_DAYS, early_icaht, icaht_columns
from features.scores.thrombocytopenia import t_icaht_columns
from features.units import UnitError
from serving.score_cards import COUNT_UNIT, RANGES
from serving.score_messages import Count, ScorePatient

UNITS: Mapping[str, str] = {"anc": "/uL", "platelets": "10*9/L"}
"""Kinds of counts, with the unit in which their grades are defined: there no threshold is lost to rounding."""
Column = tuple[list[float], list[tuple[str, ...]]]
"""Values (patients,), NaN where not gradable; and what is missing."""


def count_grades(patients: Sequence[ScorePatient]) -> dict[str, Column]:
    """Early and late ICAHT and T-ICAHT of every patient, NaN where no count of the window is known.

    Raises:
        InputError: A count has no sound unit, or cannot be; names the field, never the value.
    """
    until = np.array([math.inf if p.known_until_day is None else p.known_until_day for p in patients])
    censored = np.array([math.nan if p.progression_day is None else p.progression_day for p in patients])
    none: dict[str, FloatArray | np.ndarray[tuple[int], np.dtype[np.object_]]] = {}
    ids = np.array([p.patient_id for p in patients], dtype=object)
    rows = Patients(ids, until, none, _measurements(patients))
    columns = icaht_columns(rows, "anc", unit=UNITS["anc"], censor_day=censored)
    _grade_ended(columns["anc:early_icaht"], rows, patients)
    columns |= t_icaht_columns(rows, "platelets", unit=UNITS["platelets"], censor_day=censored)
    grades: dict[str, Column] = {}
    for name, values in columns.items():
        kind, _, grade = name.partition(":")
        lacking = (f"daily_counts.{kind}",)
        grades[grade] = (values.tolist(), [lacking if math.isnan(value) else () for value in values])
    return grades


def _grade_ended(grades: FloatArray, rows: Patients, patients: Sequence[ScorePatient]) -> None:
    """Write the early ICAHT grade of those whose follow-up ended within its window."""
    counts = rows.measurements
    for i, patient in enumerate(patients):
        until = rows.landmark_day[i]
        if patient.follow_up_ended and until < EARLY_DAYS[1]:
            own = slice(counts.offsets[i], counts.offsets[i + 1])
            is_anc = counts.variable[own] == counts.names.index("anc")
            day, value = counts.day[own][is_anc], counts.value[own][is_anc]
            grades[i] = early_icaht(day, value, known_until_day=until, follow_up_ended=True)


def _measurements(patients: Sequence[ScorePatient]) -> Measurements:
    """All counts, in `UNITS`."""
    rows: list[int] = []
    kinds: list[int] = []
    days: list[float] = []
    values: list[float] = []
    for i, patient in enumerate(patients):
        series = (patient.daily_counts.anc, patient.daily_counts.platelets)
        for k, (kind, counts) in enumerate(zip(UNITS, series, strict=True)):
            for j, count in enumerate(counts):
                rows.append(i)
                kinds.append(k)
                days.append(count.day)
                values.append(_value(kind, count, f"patients[{i}].daily_counts.{kind}[{j}]"))
    at = np.array(rows, dtype=np.int64), np.array(kinds, dtype=np.int64)
    return Measurements.from_columns(len(patients), at[0], tuple(UNITS), at[1], np.array(days), np.array(values))


def _value(kind: str, count: Count, place: str) -> float:
    """A count in the unit of its grade."""
    try:
        usual, value = (convert_analyte(count.value, count.unit, unit, kind) for unit in (COUNT_UNIT, UNITS[kind]))
    except UnitError as error:
        raise InputError(f"{place}.unit", error.rule) from None
    low, high = RANGES[kind]
    if not low <= usual <= high:
        rule = f"is outside the possible range [{low:g}, {high:g}] {COUNT_UNIT}; check its unit"
        raise InputError(f"{place}.value", rule)
    return float(value)
