"""A cohort's patients as records of a request: what an application sends to the service, from a cohort folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from features.cells.anndata_io import CellFile
from features.cells.bag import CellBag
from features.cohort import Cohort
from features.schema import Variable

Record = dict[str, Any]
"""Plain JSON of a `features.records.PatientRecord`, but for the cells of a sample: a `CellBag` under ``cells``."""
AT_A_TIME = 64
"""Patients whose cells are held at once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a model takes; the service refuses whatever else is sent."""

    baseline: frozenset[str] = frozenset()
    measurements: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    materials: frozenset[str] = frozenset()
    cells: bool = False
    clones: bool = False


def patient_records(cohort: Cohort, wanted: Wanted, landmark_day: float) -> Iterator[Record]:
    """Each patient as the service takes one, in the order of the cohort, with what was known by a landmark.

    Values carry the cohort's units, so that the service converts them; what is not known is left out.

    Args:
        cohort: A checked cohort.
        wanted: What is sent of it.
        landmark_day: Nothing later is sent.

    Raises:
        CellFileError: The cells cannot be read.
    """
    variables = cohort.card.variables
    measured = _by_patient(_known(cohort.measurements, landmark_day, "variable", wanted.measurements))
    events = _by_patient(_known(cohort.events, landmark_day, "event", wanted.events))
    samples = _known(cohort.samples, landmark_day, "material", wanted.materials)
    columns = [name for name in cohort.baseline_variables if name in wanted.baseline]
    clones = _clones(cohort.clones, samples["sample_id"]) if wanted.clones else {}
    with ExitStack() as stack:
        cells = None
        if wanted.cells and cohort.cells is not None and len(samples):
            cells = stack.enter_context(CellFile.open(cohort.cells))
        for start in range(0, len(cohort.patients), AT_A_TIME):
            part = cohort.patients.iloc[start : start + AT_A_TIME]
            sent = samples[samples["patient_id"].isin(part["patient_id"])]
            bags = {} if cells is None else _bags(cells, sent["sample_id"])
            for row in part.to_dict("records"):
                patient_id = row["patient_id"]
                own = sent[sent["patient_id"] == patient_id]
                record: Record = {"patient_id": patient_id, "landmark_day": landmark_day}
                record["baseline"] = {
                    name: _baseline(row[name], variables[name]) for name in columns if pd.notna(row[name])
                }
                record["measurements"] = [_measurement(one, variables) for one in measured.get(patient_id, [])]
                record["events"] = [_event(one) for one in events.get(patient_id, [])]
                record["samples"] = [
                    _sample(one, bags.get(one["sample_id"]), clones.get(one["sample_id"], []))
                    for one in own.sort_values("day").to_dict("records")
                    if one["sample_id"] in bags or one["sample_id"] in clones
                ]
                yield record


def _known(table: pd.DataFrame, landmark_day: float, column: str, names: frozenset[str]) -> pd.DataFrame:
    return table[(table["day"] <= landmark_day) & table[column].isin(names)]


def _by_patient(table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    groups = table.groupby("patient_id", sort=False)
    return {str(key): cast("list[dict[str, Any]]", rows.to_dict("records")) for key, rows in groups}


def _baseline(value: Any, variable: Variable) -> Any:  # noqa: ANN401 - a number or a level
    return {"value": float(value), "unit": variable.unit} if variable.kind == "numeric" else str(value)


def _measurement(row: Mapping[str, Any], variables: Mapping[str, Variable]) -> Record:
    name = row["variable"]
    return {"variable": name, "day": row["day"], "value": row["value"], "unit": variables[name].unit}


def _event(row: Mapping[str, Any]) -> Record:
    graded = {} if pd.isna(row["grade"]) else {"grade": int(row["grade"])}
    return {"event": row["event"], "day": row["day"], **graded}


def _sample(row: Mapping[str, Any], bag: CellBag | None, clones: Sequence[Record]) -> Record:
    sample: Record = {"material": row["material"], "day": row["day"], "clones": list(clones)}
    if bag is None:
        return sample
    return sample | {"cells": bag}


def _bags(cells: CellFile, sample_ids: pd.Series) -> dict[str, CellBag]:
    """The cells of some samples, as they are in the file."""
    number = {name: i for i, name in enumerate(cells.samples)}
    wanted = sorted(number[name] for name in sample_ids if name in number)
    return {cells.samples[found.number]: cells.bag(found) for found in cells.sample_rows(wanted)} if wanted else {}


def _clones(table: pd.DataFrame, sample_ids: pd.Series) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for row in table[table["sample_id"].isin(sample_ids)].to_dict("records"):
        near = row.get("near_oncogene", np.nan)
        known = {} if pd.isna(near) else {"near_oncogene": bool(near)}
        clone = {"locus": row["locus"], "clone": str(row["clone"]), "abundance": float(row["abundance"]), **known}
        found.setdefault(row["sample_id"], []).append(clone)
    return found
