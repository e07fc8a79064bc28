"""`sequela import table`: any time-to-event table, with a specification, becomes a cohort folder.

Conventions
- ``follow_up_days`` and the days of events are the table's times in days, not rounded.
- Patients of time 0 are kept and noted: they are never at risk, since follow-up must go beyond the landmark.
- Rows of one patient: a variable that differs between them becomes measurements, dated at the start of the interval
  or at the visit; the others are baseline variables.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from features.cohort import write_cohort
from features.importers.delimited import read_delimited
from features.importers.rows import Rows, entry_days, read_rows, times_days
from features.importers.spec import TableSpec, load_spec, slug
from features.patients import FloatArray
from features.schema import CohortCard, Endpoint, EventRule, Variable

logger = logging.getLogger(__name__)


def import_table(spec: Path, csv: Path, folder: Path) -> None:
    """Write the cohort folder of a time-to-event table, with ``endpoints/<cause>.yaml`` for each cause that occurs.

    Args:
        spec: The specification (`features.importers.spec.TableSpec`, as YAML).
        csv: The table: one row a patient, an interval or a visit.
        folder: Where; must be absent or empty.

    Raises:
        SequelaError: The specification or the table breaks a rule, named with row, column and remedy.
    """
    rules = load_spec(spec)
    rows = read_rows(rules, read_delimited(csv, missing=rules.missing))
    tables = _patients_and_measurements(rules, rows) | {"events": _events(rules, rows)}
    card = CohortCard(
        title=rules.title,
        citation=rules.citation,
        licence=rules.licence,
        provenance=rules.provenance,
        variables={declared.rename or column: declared.variable() for column, declared in rules.variables.items()},
        notes=_notes(rules, rows, csv.name),
    )
    write_cohort(folder, card, tables, endpoints=_endpoints(rules, tables["events"]))


def _patients_and_measurements(rules: TableSpec, rows: Rows) -> dict[str, pd.DataFrame]:
    patients = pd.DataFrame(
        {"patient_id": rows.patient_id[rows.last].to_numpy(), "follow_up_days": rows.stop_days[rows.last]}
    )
    entry = entry_days(rules, rows)
    if entry is not None:
        patients["entry_day"] = entry
    measurements = []
    for column, declared in rules.variables.items():
        name = declared.rename or column
        values = rows.table.values(column, declared)
        if _varies(rows, values):
            measurements.append(_measured(rows, name, column, declared, values))
        else:
            patients[name] = values[rows.first].to_numpy()
    tables = {"patients": patients}
    return tables | {"measurements": pd.concat(measurements, ignore_index=True)} if measurements else tables


def _varies(rows: Rows, values: pd.Series) -> bool:
    """Whether the rows of any patient differ; missing differs from every value."""
    codes = pd.Series(pd.factorize(values)[0], index=values.index)
    first_code = codes.groupby(rows.patient_id.to_numpy()).transform("first")
    return bool((codes != first_code).any())


def _measured(rows: Rows, name: str, column: str, variable: Variable, values: pd.Series) -> pd.DataFrame:
    """A variable that changes, as measurements dated at the row's start or visit.

    Raises:
        SequelaError: The variable is not numeric.
    """
    if variable.kind != "numeric":
        changes = rows.patient_id.eq(rows.patient_id.shift()) & values.fillna("").ne(values.shift().fillna(""))
        rows.table.refuse_where(
            changes,
            column,
            f"{variable.kind} variables are the same in all rows of a patient, and only numeric ones may change",
            "Code it as a number and declare it numeric, or correct the cell.",
        )
    measured = {"patient_id": rows.patient_id, "day": rows.dated_days, "variable": name, "value": values}
    return pd.DataFrame(measured).dropna(subset=["value"])


def _events(rules: TableSpec, rows: Rows) -> pd.DataFrame:
    """patient_id, day, event: every event of every row."""
    if rules.event_times is not None:
        return _wide_events(rules, rows)
    happened = rows.cause > 0
    if rules.visit is not None:
        happened &= rows.last  # each visit repeats the patient's one event
    names = np.array(["", *rules.causes], dtype=object)[rows.cause]
    events = pd.DataFrame({"patient_id": rows.patient_id, "day": rows.stop_days, "event": names})
    return events[happened].reset_index(drop=True)


def _wide_events(rules: TableSpec, rows: Rows) -> pd.DataFrame:
    parts = []
    for name, columns in (rules.event_times or {}).items():
        for column in columns:
            days = times_days(rules, rows.table, column, required=False)
            rule = f"an event happens by the end of follow-up, {rules.time.column}"
            rows.table.refuse_where(days > rows.stop_days, column, rule, "Correct the cell.")
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
    """The quartiles of days, rounded to two significant digits: ascending, positive, each once."""
    rounded = {float(f"{day:.2g}") for day in np.quantile(days, [0.25, 0.5, 0.75])}
    return tuple(sorted(day for day in rounded if day > 0)) or (1.0,)


def _notes(rules: TableSpec, rows: Rows, source: str) -> str:
    unit = f"{rules.time.unit} of {rules.time.days:g} days" if rules.time.days != 1 else "days"
    notes = [rules.notes, f"Imported from {source}, with times in {unit}."]
    at_zero = int((rows.stop_days[rows.last] == 0).sum())
    if at_zero:
        logger.warning("%d patients have time 0 and are never at risk", at_zero)
        notes.append(f"{at_zero} patients have time 0; they are kept, and never at risk.")
    return " ".join(note for note in notes if note)
