"""The rules of the four tables of a cohort folder: each takes text columns, adds findings, returns typed columns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.analytes import analyte_of, convert_analyte
from features.check.findings import Findings, did_you_mean
from features.check.tables import Table, Text
from features.cohort import OPTIONAL_COLUMNS, TABLES
from features.errors import Severity
from features.patients import FloatArray, TextArray
from features.schema import CohortCard, Variable
from features.units import UnitError, known, remedy

Mask = NDArray[np.bool_]
GRADES = (1, 2, 3, 4, 5)
"""Grades of CTCAE 5.0 (US DHHS 2017, "Grading Scale"); an event of grade 0 did not happen."""
_TOLERANCE_DAYS = 1e-6  # durations converted from months or years carry rounding


def has_columns(table: Table, name: str, card: CohortCard, findings: Findings) -> bool:
    """Whether every required column is there; columns that nobody declared are warned about and left out."""
    baseline = tuple(card.variables) if name == "patients" else ()
    allowed = (*TABLES[name], *OPTIONAL_COLUMNS[name], *baseline)
    undeclared = [column for column in table.columns if column not in allowed]
    absent = [column for column in TABLES[name] if column not in table]
    for column in absent:
        near = did_you_mean(column, undeclared).replace("Did you mean", "Is it")
        findings.add("missing-column", table.file, row=1, field=column, near=near)
    for column in undeclared:
        near = did_you_mean(column, allowed)
        findings.add("undeclared-column", table.file, row=1, field=column, near=near)
    return not absent


def empty_table(name: str) -> pd.DataFrame:
    """The columns of a table that a cohort does not have."""
    extra = {"events": ("grade",), "clones": ("near_oncogene",)}
    columns = (*TABLES[name], *extra.get(name, ()))
    numeric = {"follow_up_days", "day", "value", "grade", "abundance", "near_oncogene"}
    return pd.DataFrame({column: pd.Series(dtype=float if column in numeric else object) for column in columns})


def patients_table(table: Table, card: CohortCard, findings: Findings) -> pd.DataFrame:
    """Check patients; columns as `Cohort.patients` documents."""
    ids = _identifiers(table, "patient_id", "duplicate-patient", findings)
    follow_up = table.numbers("follow_up_days", findings, required=True)
    columns: dict[str, object] = {"patient_id": ids.each, "follow_up_days": follow_up}
    if not len(table):
        findings.add("no-patients", table.file)
    _report("negative-duration", table, follow_up < 0, follow_up, findings, field="follow_up_days")
    _report("zero-follow-up", table, follow_up == 0, follow_up, findings, field="follow_up_days")
    if "entry_day" in table:
        entry = columns["entry_day"] = table.numbers("entry_day", findings)
        late = (entry >= follow_up) & (entry > 0)
        _report("entry-after-exit", table, late, entry, findings, field="entry_day")
    if "site" in table:
        columns["site"] = table.text("site").each
    for name, variable in card.variables.items():
        if name in table:
            columns[name] = _baseline(table, name, variable, findings)
    return pd.DataFrame(columns)


def events_table(table: Table, follow_up: Mapping[str, float] | None, findings: Findings) -> pd.DataFrame:
    """Check events against each patient's days of follow-up; columns as `Cohort.events` documents."""
    ids = _known_patients(table, follow_up, findings)
    day = table.numbers("day", findings, required=True)
    event = table.text("event")
    _report("event-name-missing", table, event.missing, None, findings, field="event")
    grade = table.numbers("grade", findings) if "grade" in table else np.full(len(table), np.nan)
    _report("bad-grade", table, ~np.isnan(grade) & ~np.isin(grade, GRADES), grade, findings, field="grade")
    last = ids.mapped(follow_up or {})
    _report("event-after-follow-up", table, day > last + _TOLERANCE_DAYS, day, findings, field="day")
    death = event.rows_of(event.levels == "death") & (day < last - _TOLERANCE_DAYS)
    _report("follow-up-after-death", table, death, day, findings, field="day")
    columns: dict[str, object] = {"patient_id": ids.each, "day": day, "event": event.each, "grade": grade}
    if "after_day" in table:
        after = columns["after_day"] = table.numbers("after_day", findings)
        _report("free-after-event", table, after >= day, after, findings, field="after_day")
    return pd.DataFrame(columns)


def samples_table(table: Table, follow_up: Mapping[str, float] | None, findings: Findings) -> pd.DataFrame:
    """Check samples; columns as `Cohort.samples` documents."""
    samples = _identifiers(table, "sample_id", "duplicate-sample", findings)
    ids = _known_patients(table, follow_up, findings)
    day = table.numbers("day", findings, required=True)
    material = table.text("material")
    _report("missing-value", table, material.missing, None, findings, field="material")
    columns = {"sample_id": samples.each, "patient_id": ids.each, "day": day, "material": material.each}
    return pd.DataFrame(columns)


def measurements_table(
    table: Table, card: CohortCard, follow_up: Mapping[str, float] | None, findings: Findings
) -> pd.DataFrame:
    """Check measurements and bring them to the declared units; columns as `Cohort.measurements` documents."""
    ids = _known_patients(table, follow_up, findings)
    day = table.numbers("day", findings, required=True)
    variable = table.text("variable")
    _measured_variables(table, variable, card, findings)
    value = table.numbers("value", findings)
    empty = np.isnan(value)
    _report("empty-measurement", table, empty, None, findings, field="value")
    value = _in_declared_units(table, variable, value, card, findings)
    for name, declared in card.variables.items():
        if declared.range is not None:
            outside = (value < declared.range[0]) | (value > declared.range[1])
            outside &= variable.rows_of(variable.levels == name)
            _report("impossible-value", table, outside, value, findings, field="value", name=name)
    columns = {"patient_id": ids.each, "day": day, "variable": variable.each, "value": value}
    return pd.DataFrame(columns)[~empty].reset_index(drop=True)


def _measured_variables(table: Table, variable: Text, card: CohortCard, findings: Findings) -> None:
    _report("missing-value", table, variable.missing, None, findings, field="variable")
    names = list(card.variables)
    for row, name in variable.first_rows(table, lambda level: level not in card.variables):
        near = partial(did_you_mean, name, names)
        findings.add("undeclared-variable", table.file, row=row, field="variable", value=name, near=near)
    numeric = {name for name, declared in card.variables.items() if declared.kind == "numeric"}
    for row, name in variable.first_rows(table, lambda level: level in card.variables and level not in numeric):
        findings.add("measured-not-numeric", table.file, row=row, field="variable", value=name)


def _in_declared_units(
    table: Table, variable: Text, value: FloatArray, card: CohortCard, findings: Findings
) -> FloatArray:
    """Values in the units of `card`; a measurement without a unit is in the declared one already."""
    if "unit" not in table or not len(table):
        return value
    unit = table.text("unit")
    pair = variable.code * len(unit.levels) + unit.code
    order = np.argsort(pair, kind="stable")
    starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
    value = value.copy()
    for rows in np.split(order, starts[1:]):
        name, given = variable.levels[variable.code[rows[0]]], unit.levels[unit.code[rows[0]]]
        if given is None or name not in card.variables or given == card.variables[name].unit:
            continue
        value[rows] = _in_declared_unit(table, int(table.rows[rows[0]]), value[rows], given, name, card, findings)
    return value


def _in_declared_unit(
    table: Table, row: int, value: FloatArray, given: str, name: str, card: CohortCard, findings: Findings
) -> FloatArray:
    """Values of one variable in its declared unit, or as they are when a finding says that they do not convert."""
    variable = card.variables[name]
    if not known(given):
        near = partial(remedy, given)
        findings.add("unknown-unit", table.file, row=row, field="unit", value=given, of=f" of {name}", near=near)
    elif known(variable.unit):  # an unknown one is a finding of cohort.yaml
        analyte = analyte_of(name, variable)
        try:
            return convert_analyte(value, given, variable.unit, analyte)
        except UnitError as error:
            hint = "" if analyte else "Declare which analyte it is (analyte: …), if it is one known here. "
            details = {"declared": variable.unit, "name": name, "why": error.why, "near": hint}
            findings.add("unit-mismatch", table.file, row=row, field="unit", value=given, severity=None, **details)
    return value


def _baseline(table: Table, name: str, variable: Variable, findings: Findings) -> FloatArray | TextArray:
    if variable.kind == "numeric":
        values = table.numbers(name, findings)
        low, high = variable.range or (-np.inf, np.inf)
        _report("impossible-value", table, (values < low) | (values > high), values, findings, field=name, name=name)
        return values
    text = table.text(name)
    levels = variable.levels
    if levels is None:
        return text.each
    # Spreadsheets and data frames turn the levels 1, 2 of a column with gaps into 1.0, 2.0.
    whole = {f"{level}.0": level for level in levels} | {level: level for level in levels}
    text = Text(np.array([whole.get(level, level) for level in text.levels], dtype=object), text.code)
    severity: Severity = "error" if variable.kind == "ordinal" else "warning"
    for row, level in text.first_rows(table, lambda level: level not in levels):
        near, listed = partial(did_you_mean, level, levels), ", ".join(levels)
        findings.add(
            "unknown-level", table.file, row=row, field=name, value=level, severity=severity, levels=listed, near=near
        )
    return text.each


def _identifiers(table: Table, column: str, duplicate: str, findings: Findings) -> Text:
    """A column of identifiers, each of which must be there once."""
    ids = table.text(column)
    _report("missing-id", table, ids.missing, None, findings, field=column)
    again = pd.Series(ids.code).duplicated().to_numpy() & ~ids.missing
    _report(duplicate, table, again, ids.each, findings, field=column)
    return ids


def _known_patients(table: Table, follow_up: Mapping[str, float] | None, findings: Findings) -> Text:
    ids = table.text("patient_id")
    _report("missing-id", table, ids.missing, None, findings, field="patient_id")
    if follow_up is None:
        return ids
    for row, patient in ids.first_rows(table, lambda level: level not in follow_up):
        findings.add("unknown-patient", table.file, row=row, field="patient_id", value=patient)
    return ids


def _report(
    code: str,
    table: Table,
    rows: Mask,
    values: FloatArray | TextArray | None,
    findings: Findings,
    *,
    field: str,
    **details: object,
) -> None:
    """One finding for each row where the mask holds."""
    if rows.any():
        shown = None if values is None else values[rows].tolist()
        findings.add_rows(code, table.file, table.rows[rows], shown, field=field, severity=None, **details)
