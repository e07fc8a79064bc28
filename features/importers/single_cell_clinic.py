"""Samples and clinic of `sequela import single_cell`: who gave which sample, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from features.check import read_endpoint
from features.cohort import write_yaml
from features.errors import SequelaError
from features.importers.delimited import Delimited, read_delimited
from features.importers.single_cell_spec import ClinicalSpec, DayColumn, LabelSpec, SingleCellSpec
from features.importers.spec import Column
from features.importers.table import import_table
from features.schema import Endpoint, EventRule, Variable

LABEL_DAY, LABEL_FOLLOW_UP_DAYS = 1.0, 2.0
"""By convention a class told by a label is an event on the former day, and everyone is followed to the latter."""


@dataclass(frozen=True, slots=True)
class SampleTable:
    """Samples as the cohort has them."""

    table: pd.DataFrame
    """sample_id, patient_id, day, material, [assay]."""
    label: pd.Series | None
    """The label of each sample as text, empty where missing; None unless it stands with the samples."""


@dataclass(frozen=True, slots=True)
class Clinic:
    """What is known about the patients."""

    tables: dict[str, pd.DataFrame]
    variables: dict[str, Variable] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_samples(
    rules: SingleCellSpec, names: Sequence[str], obs: pd.DataFrame | None, places: Sequence[Path]
) -> SampleTable:
    """The samples that have cells.

    Args:
        rules: The specification.
        names: The samples of the cells.
        obs: What obs says of them, if the cells are of an .h5ad.
        places: Folders in which a table of samples is looked for.

    Raises:
        SequelaError: A sample has no row, or a column is missing or not understood.
    """
    spec = rules.samples
    if spec.file is not None:
        listed = read_delimited(_find(spec.file, places), missing=spec.missing)
        table = _rows_of(listed, spec.sample_id, names)
    elif obs is not None:
        table = Delimited("obs", obs.fillna("").astype(str), decimal_comma=False)
    elif spec.columns:
        column = next(iter(spec.columns.values()))
        msg = f"samples: column {column!r} is named, and 10x matrices have no columns; name a table with samples.file"
        raise SequelaError(msg)
    else:
        own = pd.DataFrame({"": list(names)})
        table = Delimited("the folder of matrices", own, decimal_comma=False)
    ids = table.present(spec.sample_id or "")
    columns: dict[str, object] = {
        "sample_id": ids,
        "patient_id": table.present(spec.patient_id) if spec.patient_id else ids,
    }
    columns["day"] = _days(table, spec.day)
    for name, part in (("material", spec.material), ("assay", spec.assay)):
        if part is not None:
            columns[name] = table.present(part.column) if isinstance(part, Column) else part
    in_samples = rules.label is not None and rules.label.table == "samples"
    label = table.text(rules.label.column).reset_index(drop=True) if rules.label is not None and in_samples else None
    return SampleTable(pd.DataFrame(columns).reset_index(drop=True), label)


def _rows_of(listed: Delimited, column: str | None, names: Sequence[str]) -> Delimited:
    """The rows of a table of samples in the order of the samples that have cells."""
    if column is None:
        msg = f"samples.sample_id is missing; name the column of {listed.name} with the samples"
        raise SequelaError(msg)
    ids = listed.present(column)
    listed.refuse_where(ids.duplicated(), column, "a sample has one row", "Remove the other.")
    row_of = pd.Series(ids.index, index=ids)
    absent = [name for name in names if name not in row_of.index]
    if absent:
        msg = f"{listed.name}: sample {absent[0]!r} has cells and no row; add one. It lists {', '.join(ids[:5])} …"
        raise SequelaError(msg)
    return Delimited(listed.name, listed.cells.loc[row_of[list(names)]], listed.decimal_comma)


def _days(table: Delimited, day: float | DayColumn) -> float | np.ndarray:
    if isinstance(day, DayColumn):
        table.present(day.column)
        return table.numbers(day.column) * day.days
    return day


def read_clinic(rules: SingleCellSpec, samples: SampleTable, places: Sequence[Path]) -> Clinic:
    """Patients, events, measurements and endpoints.

    Raises:
        SequelaError: The clinical table breaks a rule, or a patient with cells is not in it.
    """
    clinical = rules.clinical
    if clinical is not None and clinical.time is not None:
        return _followed(rules, clinical, samples, _find(clinical.file, places))
    table = None if clinical is None else read_delimited(_find(clinical.file, places), missing=clinical.missing)
    patients = pd.DataFrame({"patient_id": samples.table["patient_id"].unique()})
    variables: dict[str, Variable] = {}
    if clinical is not None and table is not None:
        table = _one_row_a_patient(table, clinical.patient_id, list(patients["patient_id"]))
        if samples.label is not None:  # who has no cells has no label
            labelled = table.text(clinical.patient_id).isin(patients["patient_id"])
            table = Delimited(table.name, table.cells[labelled], table.decimal_comma)
        patients = pd.DataFrame({"patient_id": table.present(clinical.patient_id).to_numpy()})
        for column, variable in clinical.variables.items():
            patients[variable.rename or column] = table.values(column, variable).to_numpy()
            variables[variable.rename or column] = variable.variable()
    if rules.label is None:
        last = samples.table.groupby("patient_id")["day"].max().reindex(patients["patient_id"]).to_numpy(dtype=float)
        patients.insert(1, "follow_up_days", np.clip(np.nan_to_num(last), 0, None))
        return Clinic({"patients": patients}, variables, notes=("Follow-up is the day of a patient's last sample.",))
    positive = _classes(rules.label, samples, table, patients["patient_id"])
    patients.insert(1, "follow_up_days", LABEL_FOLLOW_UP_DAYS)
    events = pd.DataFrame(
        {"patient_id": patients.loc[positive, "patient_id"], "day": LABEL_DAY, "event": rules.label.event}
    )
    endpoint = Endpoint(name=rules.label.event, event=EventRule(name=rules.label.event), horizons_days=(LABEL_DAY,))
    note = (
        f"{rules.label.event} is a class of patients ({rules.label.column}), not an event in time: by convention it "
        f"happens on day {LABEL_DAY:g}, and everyone is followed for {LABEL_FOLLOW_UP_DAYS:g} days."
    )
    tables = {"patients": patients, "events": events.reset_index(drop=True)}
    return Clinic(tables, variables, {endpoint.name: endpoint}, (note,))


def _followed(rules: SingleCellSpec, clinical: ClinicalSpec, samples: SampleTable, path: Path) -> Clinic:
    """The clinical table by way of `sequela import table`, so that it means the same here and there."""
    with TemporaryDirectory(prefix="sequela-") as beside:
        spec, folder = Path(beside) / "clinical.yaml", Path(beside) / "cohort"
        table = clinical.table(rules.title, "", rules.horizons_days)
        write_yaml(spec, table.model_dump(mode="json", exclude_defaults=True))
        import_table(spec, path, folder)
        names = [name for name in ("patients", "events", "measurements") if (folder / f"{name}.csv").exists()]
        tables = {name: pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False) for name in names}
        endpoints = {file.stem: read_endpoint(file) for file in sorted((folder / "endpoints").glob("*.yaml"))}
    _require_patients(path.name, set(tables["patients"]["patient_id"]), list(samples.table["patient_id"].unique()))
    variables = {variable.rename or name: variable.variable() for name, variable in clinical.variables.items()}
    return Clinic(tables, variables, endpoints, (f"Clinic: {path.name}.",))


def _one_row_a_patient(table: Delimited, column: str, with_cells: Sequence[str]) -> Delimited:
    ids = table.present(column)
    rule = "a patient has one row unless time and visits are named"
    table.refuse_where(ids.duplicated(), column, rule, "Remove the other row.")
    _require_patients(table.name, set(ids), with_cells)
    return table


def _require_patients(file: str, known: set[str], with_cells: Sequence[str]) -> None:
    absent = [patient for patient in with_cells if patient not in known]
    if absent:
        msg = f"{file}: patient {absent[0]!r} has cells and no row ({len(absent)} of {len(with_cells)} have none)"
        raise SequelaError(f"{msg}; add a row, or correct which column names the patients")


def _classes(label: LabelSpec, samples: SampleTable, table: Delimited | None, patients: pd.Series) -> np.ndarray:
    """(patients,): whether each is of the positive class.

    Raises:
        SequelaError: A patient has no label or two, a value is of no class, or everybody is of one class; or a sample
            is later than day 0, so that it would not be known when the class is told.
    """
    late = samples.table["day"] > 0
    if late.any():
        sample = samples.table.loc[late, "sample_id"].iloc[0]
        msg = f"sample {sample!r} is after day 0; a label is told from samples known by then: use samples.day: 0"
        raise SequelaError(msg)
    if samples.label is not None:
        texts = pd.DataFrame({"patient": samples.table["patient_id"], "label": samples.label})
    elif table is not None:
        texts = pd.DataFrame({"patient": patients, "label": table.text(label.column).to_numpy()})
    else:
        msg = "the label stands in the clinical table, and there is none"
        raise SequelaError(msg)
    rows = texts.drop_duplicates().set_index("patient")["label"]
    for patient, values in rows.groupby(level=0):
        allowed = None if label.negatives is None else {*label.positives, *label.negatives}
        if len(values) > 1 or values.iloc[0] == "" or (allowed is not None and values.iloc[0] not in allowed):
            shown = " and ".join(repr(value) for value in values.iloc[:2])
            known = f", one of {', '.join(sorted(allowed))}" if allowed else ""
            msg = f"patient {patient!r}: {label.column} = {shown}; every patient has one label{known}. Correct it"
            raise SequelaError(msg)
    positive = rows.reindex(patients).isin(label.positives).to_numpy()
    if positive.all() or not positive.any():
        shown = ", ".join(map(repr, rows.unique()[:5]))
        which = "every patient" if positive.all() else "no patient"
        msg = f"label {label.column}: {which} is {' or '.join(label.positives)}; the values are {shown}"
        raise SequelaError(f"{msg}. Two classes are needed: correct label.positive")
    return positive


def _find(name: str, places: Sequence[Path]) -> Path:
    """A file beside the cells or beside the specification; the first place where there is none, for the message."""
    return next((place / name for place in places if (place / name).is_file()), places[0] / name)
