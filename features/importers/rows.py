"""The rows of a time-to-event table: patients, times in days and causes, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.importers.delimited import Delimited
from features.importers.spec import TableSpec
from features.patients import FloatArray


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table, those of one patient together and in the order of time."""

    table: Delimited
    patient_id: pd.Series
    stop_days: FloatArray
    """(rows,): the table's time in days."""
    cause: NDArray[np.int64]
    """(rows,): 0 = censored, 1, 2, … in the order of the codes."""
    dated_days: FloatArray | None = None
    """(rows,): start of the interval, or day of the visit; None: one row a patient."""

    @property
    def first(self) -> NDArray[np.bool_]:
        """(rows,): whether this is the patient's first row."""
        return ~self.patient_id.duplicated().to_numpy()

    @property
    def last(self) -> NDArray[np.bool_]:
        """(rows,): whether this is the patient's last row."""
        return ~self.patient_id.duplicated(keep="last").to_numpy()


def read_rows(rules: TableSpec, table: Delimited) -> Rows:
    """The rows of a table in the form that its specification describes.

    Raises:
        SequelaError: A column is missing, a time or code is wrong, or the rows of a patient contradict one another.
    """
    table.require([*rules.time_columns, *rules.variables])
    numbers = pd.Series([str(number) for number in range(1, len(table.cells) + 1)], index=table.cells.index)
    rows = Rows(
        table,
        table.present(rules.patient_id) if rules.patient_id else numbers,
        times_days(rules, table, rules.time.column),
        _causes(rules, table),
    )
    if rules.start is not None:
        rows = _dated(rows, times_days(rules, table, rules.start.column))
        _check_intervals(rows, rules.start.column, rules.time.column)
    elif rules.visit is not None and rules.event is not None:
        rows = _dated(rows, times_days(rules, table, rules.visit.column))
        _check_visits(rows, rules.time.column, rules.event.column)
    elif rules.patient_id is not None:
        table.refuse_where(
            ~rows.first,
            rules.patient_id,
            "patients have one row each, and this one stands above already",
            "Remove the row, or name start (intervals) or visit (visits) in the specification.",
        )
    return rows


def times_days(rules: TableSpec, table: Delimited, column: str, *, required: bool = True) -> FloatArray:
    """A column of times in days, not rounded.

    Raises:
        SequelaError: A time is negative, no number, or missing where it is required.
    """
    if required:
        table.present(column)
    values = table.numbers(column)
    table.refuse_where(values < 0, column, "a time is at least 0", "Correct the cell or remove the row.")
    return values * rules.time.days


def entry_days(rules: TableSpec, rows: Rows) -> FloatArray | None:
    """(patients,): day at which observation began; None where everyone is observed from day 0.

    Raises:
        SequelaError: Observation begins at the end of follow-up or later.
    """
    if rules.start is not None and rows.dated_days is not None:
        entry = rows.dated_days[rows.first]
    elif rules.entry is not None:
        entry = np.nan_to_num(times_days(rules, rows.table, rules.entry.column, required=False))
        rule = f"observation begins before its {rules.time.column}"
        rows.table.refuse_where(
            entry >= rows.stop_days, rules.entry.column, rule, "Correct the cell or remove the row."
        )
    else:
        return None
    return entry if entry.any() else None


def _causes(rules: TableSpec, table: Delimited) -> NDArray[np.int64]:
    if rules.event is None:
        return np.zeros(len(table.cells), dtype=np.int64)
    table.present(rules.event.column)
    codes = [0, *sorted(rules.event.causes)]
    number_of = {float(code): number for number, code in enumerate(codes)}
    causes = np.array([number_of.get(code, -1) for code in table.numbers(rules.event.column)], dtype=np.int64)
    table.refuse_where(
        causes < 0,
        rules.event.column,
        f"the specification knows the codes {', '.join(map(str, codes))} (0 = censored)",
        "Add the code to event.causes, or correct the cell.",
    )
    return causes


def _dated(rows: Rows, dated_days: FloatArray) -> Rows:
    """Patients in the order of their first row, rows of a patient by day."""
    patient_code, _ = pd.factorize(rows.patient_id)
    order = np.lexsort((dated_days, patient_code))
    return Rows(
        Delimited(rows.table.name, rows.table.cells.iloc[order], rows.table.decimal_comma),
        rows.patient_id.iloc[order],
        rows.stop_days[order],
        rows.cause[order],
        dated_days[order],
    )


def _check_intervals(rows: Rows, start: str, stop: str) -> None:
    """Intervals have a length, and those of one patient join."""
    if rows.dated_days is None:
        return
    rule = f"an interval starts before its {stop}"
    rows.table.refuse_where(rows.dated_days >= rows.stop_days, start, rule, "Correct or remove the row.")
    previous_stop = np.concatenate([[0.0], rows.stop_days[:-1]])
    rows.table.refuse_where(
        ~rows.first & (rows.dated_days != previous_stop),
        start,
        f"an interval starts where the patient's previous one ends, at its {stop}",
        "Close the gap or remove the overlap.",
    )


def _check_visits(rows: Rows, time: str, event: str) -> None:
    """Time and event belong to the patient, so all visits agree on them."""
    first_of = pd.Series(np.flatnonzero(rows.first), index=rows.patient_id[rows.first].to_numpy())
    first = first_of[rows.patient_id.to_numpy()].to_numpy()
    for column, values in ((time, rows.stop_days), (event, rows.cause)):
        rows.table.refuse_where(
            values != values[first],
            column,
            "every visit of a patient repeats the same time and event",
            "Correct the cell, or name start instead of visit if rows are intervals.",
        )
