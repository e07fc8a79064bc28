"""`sequela import table`: any time-to-event table, with a specification, becomes a cohort folder.

Conventions
- ``follow_up_days`` and the days of events are the table's times in days, not rounded.
- Rows of time 0 are kept and noted: they are never at risk, because follow-up must go beyond the landmark.
- Values in rows of one patient: a variable that differs between them becomes a measurement, dated at the start of the
  row's interval or at its visit; the others are baseline variables.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cohort import write_cohort
from features.errors import SequelaError
from features.importers.delimited import Delimited, read_delimited, refusal
from features.importers.spec import TableSpec, load_spec, slug
from features.schema import CohortCard, Endpoint, EventRule, Variable

FloatArray = NDArray[np.float64]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a table with their times in days, those of one patient together in ascending order."""

    table: Delimited
    patient_id: pd.Series
    stop_days: FloatArray
    cause: NDArray[np.int64]
    """0 = censored, 1, 2, … in order of the codes."""
    dated_days: FloatArray | None
    """Start of the interval, or visit; None: one row a patient."""

    @property
    def first(self) -> NDArray[np.bool_]:
        """(rows,): whether this is the patient's first row."""
        return ~self.patient_id.duplicated().to_numpy()

    @property
    def last(self) -> NDArray[np.bool_]:
        """(rows,): whether this is the patient's last row."""
        return ~self.patient_id.duplicated(keep="last").to_numpy()

    def refuse(self, place: int, column: str, rule: str, remedy: str) -> SequelaError:
        """An error at one row."""
        row = self.table.cells.index[place]
        return refusal(self.table.name, row, column, self.table.cells[column].iloc[place], rule, remedy)


def import_table(spec: Path, csv: Path, folder: Path) -> None:
    """Write the cohort folder of a time-to-event table, with ``endpoints/<cause>.yaml`` for each cause that occurs.

    Args:
        spec: The specification (`features.importers.spec.TableSpec`, as YAML).
        csv: The table, one row a patient, an interval or a visit (see `TableSpec`).
        folder: Where; must be absent or empty.

    Raises:
        SequelaError: The specification or the table breaks a rule, named with row, column and remedy.
    """
    rules = load_spec(spec)
    rows = _read_rows(rules, read_delimited(csv, missing=rules.missing))
    patients = pd.DataFrame({"patient_id": rows.patient_id[rows.last], "follow_up_days": rows.stop_days[rows.last]})
    patients = patients.reset_index(drop=True)
    entry_days = _entry_days(rules, rows)
    if entry_days is not None:
        patients["entry_day"] = entry_days
    measurements = []
    for column, declared in rules.variables.items():
        name = declared.rename or column
        values = _values(rows, column, declared)
        if _varies(rows, values):
            measurements.append(_measured(rows, name, column, declared, values))
        else:
            patients[name] = values[rows.first].to_numpy()
    tables = {"patients": patients, "events": _events(rules, rows)}
    if measurements:
        tables["measurements"] = pd.concat(measurements, ignore_index=True)
    notes = _notes(rules, rows, csv.name)
    write_cohort(folder, _card(rules, notes), tables, endpoints=_endpoints(rules, tables["events"]))


def _read_rows(rules: TableSpec, table: Delimited) -> _Rows:
    """The rows in order of patient and time, checked."""
    columns = [*rules.time_columns, *rules.variables, *([rules.event.column] if rules.event else [])]
    table.require(columns + ([rules.patient_id] if rules.patient_id else []))
    numbers = pd.Series([str(number) for number in range(1, len(table.cells) + 1)], index=table.cells.index)
    patient_id = table.present(rules.patient_id) if rules.patient_id else numbers
    dated = rules.start or rules.visit
    rows = _Rows(
        table,
        patient_id,
        _days(rules, table, rules.time.column),
        _causes(rules, table),
        _days(rules, table, dated.column) if dated else None,
    )
    if rows.dated_days is None:
        _check_one_row_each(rules, rows)
        return rows
    rows = _ordered(rows, rows.dated_days)
    (_check_intervals if rules.start else _check_visits)(rules, rows)
    return rows


def _days(rules: TableSpec, table: Delimited, column: str, *, required: bool = True) -> FloatArray:
    """A column of times, in days."""
    if required:
        table.present(column)
    values = table.numbers(column)
    if (values < 0).any():
        place = int((values < 0).argmax())
        row, text = table.cells.index[place], table.cells[column].iloc[place]
        raise refusal(table.name, row, column, text, "a time is at least 0", "Correct the cell or remove the row.")
    return values * rules.time.days


def _causes(rules: TableSpec, table: Delimited) -> NDArray[np.int64]:
    if rules.event is None:
        return np.zeros(len(table.cells), dtype=np.int64)
    column, codes = rules.event.column, [0, *sorted(rules.event.causes)]
    table.present(column)
    number_of = {float(code): number for number, code in enumerate(codes)}
    causes = [number_of.get(code) for code in table.numbers(column)]
    if None in causes:
        place = causes.index(None)
        raise refusal(
            table.name, table.cells.index[place], column, table.cells[column].iloc[place],
            f"the specification knows the codes {', '.join(map(str, codes))} (0 = censored)",
            "Add the code to event.causes, or correct the cell.",
        )  # fmt: skip
    return np.array(causes, dtype=np.int64)


def _ordered(rows: _Rows, dated_days: FloatArray) -> _Rows:
    """Patients in the order of their first row, rows of a patient by day."""
    patient_code, _ = pd.factorize(rows.patient_id)
    order = np.lexsort((dated_days, patient_code))
    return _Rows(
        Delimited(rows.table.name, rows.table.cells.iloc[order], rows.table.decimal_comma),
        rows.patient_id.iloc[order],
        rows.stop_days[order],
        rows.cause[order],
        dated_days[order],
    )


def _check_one_row_each(rules: TableSpec, rows: _Rows) -> None:
    if rules.patient_id and not rows.first.all():
        raise rows.refuse(
            int((~rows.first).argmax()), rules.patient_id, "patients have one row each and this one stands above already",
            "Remove the row, or name start (intervals) or visit (visits) in the specification.",
        )  # fmt: skip


def _check_intervals(rules: TableSpec, rows: _Rows) -> None:
    """Intervals must have a length, and those of one patient must join."""
    if rules.start is None or rows.dated_days is None:
        return
    empty = rows.dated_days >= rows.stop_days
    if empty.any():
        raise rows.refuse(
            int(empty.argmax()), rules.start.column, f"an interval starts before its {rules.time.column}",
            "Correct or remove the row.",
        )  # fmt: skip
    apart = ~rows.first & (rows.dated_days != np.concatenate([[0.0], rows.stop_days[:-1]]))
    if apart.any():
        raise rows.refuse(
            int(apart.argmax()), rules.start.column,
            f"an interval starts where the patient's previous one ends, at its {rules.time.column}",
            "Close the gap or remove the overlap.",
        )  # fmt: skip


def _check_visits(rules: TableSpec, rows: _Rows) -> None:
    """Time and event belong to the patient, so all visits must agree on them."""
    if rules.event is None:
        return
    first_of = pd.Series(np.flatnonzero(rows.first), index=rows.patient_id[rows.first])
    first = first_of[rows.patient_id].to_numpy()
    for column, values in ((rules.time.column, rows.stop_days), (rules.event.column, rows.cause)):
        differs = values != values[first]
        if differs.any():
            raise rows.refuse(
                int(differs.argmax()), column, "every visit of a patient repeats the same time and event",
                "Correct the cell, or name start instead of visit if rows are intervals.",
            )  # fmt: skip


def _entry_days(rules: TableSpec, rows: _Rows) -> FloatArray | None:
    """(patients,): day at which observation began; None where all are observed from day 0."""
    if rules.start and rows.dated_days is not None:
        entry = rows.dated_days[rows.first]
    elif rules.entry:
        entry = np.nan_to_num(_days(rules, rows.table, rules.entry.column, required=False))
        late = entry >= rows.stop_days
        if late.any():
            raise rows.refuse(
                int(late.argmax()), rules.entry.column, f"observation begins before its {rules.time.column}",
                "Correct or remove the row.",
            )  # fmt: skip
    else:
        return None
    return entry if entry.any() else None


def _values(rows: _Rows, column: str, variable: Variable) -> pd.Series:
    """A variable's column in its type: float, or text with None where missing."""
    table = rows.table
    if variable.kind == "numeric":
        values = table.numbers(column)
        low, high = variable.range or (-np.inf, np.inf)
        outside = (values < low) | (values > high)
        if outside.any():
            raise rows.refuse(
                int(outside.argmax()), column, f"the specification allows {low:g} to {high:g}",
                "Correct the cell, or the range in the specification.",
            )  # fmt: skip
        return pd.Series(values, index=table.cells.index)
    levels = set(variable.levels or ())
    texts = [_level(text, levels) if text else None for text in table.cells[column]]
    for place, text in enumerate(texts):
        if levels and text is not None and text not in levels:
            raise rows.refuse(
                place, column, f"the specification lists the levels {', '.join(variable.levels or ())}",
                "Add the level, or correct the cell.",
            )  # fmt: skip
    return pd.Series(texts, index=table.cells.index, dtype=object)


def _level(text: str, levels: set[str]) -> str:
    """Software that knows no integers writes the level 2 as ``2.0``."""
    whole = text.removesuffix(".0")
    return whole if whole in levels and text not in levels else text


def _varies(rows: _Rows, values: pd.Series) -> bool:
    """Whether any patient's rows differ, a missing value being one of its own."""
    if rows.dated_days is None:
        return False
    return bool((values.groupby(rows.patient_id.to_numpy()).nunique(dropna=False) > 1).any())


def _measured(rows: _Rows, name: str, column: str, variable: Variable, values: pd.Series) -> pd.DataFrame:
    """A variable that changes, as measurements dated at the row's start or visit."""
    if variable.kind != "numeric":
        changes = rows.patient_id.eq(rows.patient_id.shift()) & values.ne(values.shift())
        raise rows.refuse(
            int(changes.to_numpy().argmax()), column,
            f"{variable.kind} variables are the same in all rows of a patient; only numeric ones may change",
            "Code it as a number and declare it numeric, or correct the cell.",
        )  # fmt: skip
    measured = {"patient_id": rows.patient_id, "day": rows.dated_days, "variable": name, "value": values}
    return pd.DataFrame(measured).dropna(subset=["value"])


def _events(rules: TableSpec, rows: _Rows) -> pd.DataFrame:
    """patient_id, day, event: one row an event, every interval's own."""
    if rules.event_times is not None:
        return _wide_events(rules, rows)
    happened = rows.cause > 0
    if rules.visit:
        happened &= rows.last
    names = np.array(["", *rules.causes], dtype=object)[rows.cause]
    events = pd.DataFrame({"patient_id": rows.patient_id, "day": rows.stop_days, "event": names})
    return events[happened].reset_index(drop=True)


def _wide_events(rules: TableSpec, rows: _Rows) -> pd.DataFrame:
    parts = []
    for name, columns in (rules.event_times or {}).items():
        for column in columns:
            days = _days(rules, rows.table, column, required=False)
            if (days > rows.stop_days).any():
                raise rows.refuse(
                    int((days > rows.stop_days).argmax()), column, f"an event happens by the end of follow-up, {rules.time.column}",
                    "Correct the cell.",
                )  # fmt: skip
            parts.append(pd.DataFrame({"patient_id": rows.patient_id, "day": days, "event": slug(name)}))
    return pd.concat(parts).dropna(subset=["day"]).sort_index(kind="stable").reset_index(drop=True)


def _endpoints(rules: TableSpec, events: pd.DataFrame) -> dict[str, Endpoint]:
    """For each cause that occurs, its endpoint with the other ones competing."""
    occurring = [cause for cause in rules.causes if (events["event"] == cause).any()]
    endpoints = {}
    for cause in occurring:
        days = events.loc[events["event"] == cause, "day"].to_numpy(dtype=float)
        endpoints[cause] = Endpoint(
            name=cause,
            event=EventRule(name=cause),
            competing=tuple(EventRule(name=other) for other in occurring if other != cause),
            horizons_days=rules.horizons_days or _round_quartiles(days),
        )
    return endpoints


def _round_quartiles(days: FloatArray) -> tuple[float, ...]:
    """The quartiles of days rounded to two significant digits, ascending, positive and different from one another."""
    rounded = {float(f"{day:.2g}") for day in np.quantile(days, [0.25, 0.5, 0.75])}
    return tuple(sorted(day for day in rounded if day > 0)) or (1.0,)


def _notes(rules: TableSpec, rows: _Rows, source: str) -> str:
    notes = [rules.notes, f"Imported from {source}; times in {rules.time.unit}, {rules.time.days:g} days each."]
    at_zero = int((rows.stop_days[rows.last] == 0).sum())
    if at_zero:
        logger.warning("%d patients have time 0 and are never at risk", at_zero)
        notes.append(f"{at_zero} patients have time 0: they are kept and never at risk, since follow-up must go beyond day 0.")
    return " ".join(note for note in notes if note)


def _card(rules: TableSpec, notes: str) -> CohortCard:
    return CohortCard(
        title=rules.title,
        citation=rules.citation,
        licence=rules.licence,
        provenance=rules.provenance,
        variables={declared.rename or column: declared.variable() for column, declared in rules.variables.items()},
        notes=notes,
    )
