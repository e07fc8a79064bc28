"""Reads cohort folders and endpoints, and says everything that is wrong with them at once.

    examine        a folder's findings, and the cohort when none of them is an error
    read_cohort    the cohort, or a `CohortError` with the findings
    read_endpoint  an endpoint from its YAML file

catalogue holds every code with its rule and remedy; tables reads .csv and .parquet; rules and
cells hold the checks. anndata is not imported unless the folder has cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.check.cells import check_cells, find_cells
from features.check.clones import clones_table
from features.check.findings import MOST, Findings, did_you_mean
from features.check.rules import (
    empty_table,
    events_table,
    has_columns,
    measurements_table,
    patients_table,
    samples_table,
)
from features.check.tables import Table, read_table, table_files
from features.cohort import TABLES, Cohort, outcomes_at, qualifying
from features.documents import DocumentError, read_document
from features.errors import CohortError, Finding, SequelaError
from features.schema import CellsCard, CohortCard, Endpoint
from features.units import known, remedy

Frames = dict[str, pd.DataFrame]
_RESERVED = ("patient_id", "follow_up_days", "entry_day")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of examining a cohort folder."""

    findings: tuple[Finding, ...]
    """Errors first; at most `MOST` of one code in one file, and one more that counts the rest."""
    cohort: Cohort | None
    """The cohort, when no finding is an error."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep the cohort from being used."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def examine(
    folder: Path, endpoint: Endpoint | None = None, progress: Callable[[int, int], None] | None = None
) -> Examination:
    """Check a cohort folder, and an endpoint against it.

    Args:
        folder: The cohort folder (cohort.yaml, patients, and what else there is).
        endpoint: Whose events must be there, graded and followed.
        progress: Called with the blocks of cells read and the blocks in all.
    """
    findings = Findings()
    card = _read_card(folder, findings)
    if card is None:
        return Examination(findings.all(), None)
    tables, frames = _read_tables(folder, card, findings)
    cells = find_cells(folder, findings)
    if cells is not None:
        samples = frames["samples"]["sample_id"].dropna() if "samples" in frames else None
        check_cells(cells, card.cells or CellsCard(), samples, findings, progress)
    elif card.cells is not None:
        findings.add("absent-cells", "cohort.yaml", field="cells")
    if findings.failed:
        return Examination(findings.all(), None)
    cohort = Cohort(folder, card, **frames, cells=cells, fingerprint=fingerprint(folder))
    if endpoint is not None:
        _check_endpoint(cohort, endpoint, tables.get("events"), findings)
    return Examination(findings.all(), None if findings.failed else cohort)


def read_cohort(folder: Path) -> Cohort:
    """Read a cohort folder.

    Raises:
        CohortError: The folder has an error; all findings are in it.
    """
    examination = examine(folder)
    if examination.cohort is None:
        raise CohortError(examination.findings)
    return examination.cohort


def read_endpoint(path: Path) -> Endpoint:
    """Read an endpoint from its YAML file.

    Raises:
        SequelaError: The file cannot be read or breaks a rule; each key concerned is named, with the nearest valid one.
    """
    return read_document(path, Endpoint)


def fingerprint(folder: Path) -> str:
    """Sha256 over name and content of the files that make the data set: cohort.yaml, the tables and the cells."""
    digest = hashlib.sha256()
    for path in sorted(_data_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix().encode()
        digest.update(len(name).to_bytes(8, "big") + name + path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _data_files(folder: Path) -> Iterator[Path]:
    names = ("cohort.yaml", *(f"{name}{suffix}" for name in TABLES for suffix in (".csv", ".parquet")), "cells.h5ad")
    yield from (folder / name for name in names if (folder / name).is_file())
    yield from (path for path in (folder / "cells.zarr").rglob("*") if path.is_file())


def _read_card(folder: Path, findings: Findings) -> CohortCard | None:
    if not (folder / "cohort.yaml").is_file():
        what = "a file cohort.yaml" if folder.is_dir() else "cohort.yaml and patients.csv, and this is none"
        findings.add("not-a-cohort", str(folder), what=what)
        return None
    try:
        card = read_document(folder / "cohort.yaml", CohortCard)
    except DocumentError as error:
        code = "bad-card" if error.readable else "bad-yaml"
        for problem in error.problems:
            findings.add(code, "cohort.yaml", field=problem.key, rule=problem.rule, remedy=problem.remedy)
        return None
    for name, variable in card.variables.items():
        if name in _RESERVED:
            findings.add("reserved-name", "cohort.yaml", field=f"variables.{name}")
        if variable.kind == "numeric" and not known(variable.unit):
            field, near = f"variables.{name}.unit", remedy(variable.unit)
            findings.add("unknown-unit", "cohort.yaml", field=field, value=variable.unit, of="", near=near)
    return card


def _read_tables(folder: Path, card: CohortCard, findings: Findings) -> tuple[dict[str, Table], Frames]:
    """The tables as read, and as typed columns; absent ones are empty, those that cannot be used are left out."""
    if not any(path.is_file() for path in table_files(folder, "patients")):
        findings.add("no-patients", "patients.csv")
    tables: dict[str, Table] = {}
    for name in TABLES:
        table = read_table(folder, name, findings)
        if table is not None and has_columns(table, name, card, findings):
            tables[name] = table
    frames = {name: empty_table(name) for name in TABLES if not table_files(folder, name)}
    follow_up = None
    if "patients" in tables:
        patients = frames["patients"] = patients_table(tables["patients"], card, findings)
        once = patients.drop_duplicates("patient_id")
        follow_up = dict(zip(once["patient_id"], once["follow_up_days"], strict=True))
    if "events" in tables:
        frames["events"] = events_table(tables["events"], follow_up, findings)
    if "measurements" in tables:
        frames["measurements"] = measurements_table(tables["measurements"], card, follow_up, findings)
    if "samples" in tables:
        frames["samples"] = samples_table(tables["samples"], follow_up, findings)
    if "clones" in tables:
        samples = set(frames["samples"]["sample_id"]) if "samples" in frames else None
        frames["clones"] = clones_table(tables["clones"], samples, findings)
    if {"patients", "measurements"} <= frames.keys():
        _warn_of_absent_variables(frames, card, findings)
    return tables, frames


def _warn_of_absent_variables(frames: Frames, card: CohortCard, findings: Findings) -> None:
    given = {*frames["patients"].columns, *frames["measurements"]["variable"]}
    for name in sorted(card.variables.keys() - given):
        near = did_you_mean(name, sorted(given - card.variables.keys() - {None}))
        findings.add("absent-variable", "cohort.yaml", field=f"variables.{name}", near=near)


def _check_endpoint(cohort: Cohort, endpoint: Endpoint, events: Table | None, findings: Findings) -> None:
    """Whether the endpoint's events are there, graded where grades count, and patients at risk at every landmark."""
    names = sorted(set(cohort.events["event"]))
    for number, rule in enumerate((endpoint.event, *endpoint.competing)):
        of_name = (cohort.events["event"] == rule.name).to_numpy()
        ungraded = of_name & cohort.events["grade"].isna().to_numpy()
        if rule.min_grade is not None and ungraded.any() and events is not None:
            rows, least = events.rows[ungraded], rule.min_grade
            findings.add_rows("grade-missing", events.file, rows, field="grade", name=rule.name, min_grade=least)
        if qualifying(cohort.events, rule).empty:
            field = "event" if number == 0 else f"competing.{number - 1}"
            grade = f" from grade {rule.min_grade} on" if of_name.any() else ""
            findings.add(
                "no-such-cause",
                f"endpoint {endpoint.name}",
                field=f"{field}.name",
                value=rule.name,
                severity="error" if number == 0 else "warning",
                grade=grade,
                near="" if of_name.any() else did_you_mean(rule.name, names),
            )
    for day in endpoint.landmark_days:
        try:
            _, outcomes = outcomes_at(cohort, endpoint, day)
        except SequelaError:
            findings.add("nobody-at-risk", f"endpoint {endpoint.name}", field="landmark_days", value=f"{day:g}")
            continue
        last = endpoint.horizons_days[-1]
        if outcomes.duration_days.max() < last:
            place, shown = f"endpoint {endpoint.name}", f"{last:g}"
            findings.add("horizon-beyond-follow-up", place, field="horizons_days", value=shown, day=f"{day:g}")


__all__ = ["MOST", "Examination", "examine", "fingerprint", "read_cohort", "read_endpoint"]
