"""Dated records of a registry or a hospital as a cohort: what the importers `omop` and `meds` have in common.

Conventions
- Day 0 is the day of the infusion; every other day is the difference of dates, a whole number. No date is kept.
- Follow-up ends on the day of death, or with observation. Events and measurements beyond it are left out and counted;
  those before the infusion are kept as history, on negative days.
- An event recorded several times on one day counts once.
- A measurement without a unit is taken to be in the declared one, and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from features.analytes import analyte_of, convert_analyte
from features.cohort import write_cohort
from features.errors import SequelaError
from features.importers.spec import RESERVED, slug
from features.schema import CohortCard, Endpoint, Frozen, Variable
from features.units import UnitError

logger = logging.getLogger(__name__)
DEATH = "death"


class RecordsSpec(Frozen):
    """What both specifications say."""

    title: str
    citation: str = "not stated"
    licence: str = "not stated"
    provenance: Literal["real", "simulated"] = "real"
    notes: str = ""
    patient_ids: Literal["running", "keep"] = "running"
    """P1, P2, … in no order that means anything, or the identifiers of the source."""
    seed: int = 0
    """Of the order of running identifiers."""
    infusions: Literal["first", "last"] = "first"
    """Which infusion is day 0, of patients with several."""
    history_days: float | None = Field(default=None, ge=0)
    """Measurements earlier before the infusion are left out; all are kept where it is not given."""
    units: dict[str, str] = Field(default_factory=dict)
    """UCUM units for other spellings of the source, such as ``K/uL: 10*3/uL``."""
    endpoints: tuple[Endpoint, ...] = ()
    """Written to the cohort's endpoints/."""

    @model_validator(mode="after")
    def _distinct_endpoints(self) -> RecordsSpec:
        names = [endpoint.name for endpoint in self.endpoints]
        if len(set(names)) != len(names):
            msg = "names of endpoints differ from one another"
            raise ValueError(msg)
        return self

    @field_validator("endpoints")
    @classmethod
    def _file_names(cls, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if any(slug(endpoint.name) != endpoint.name for endpoint in endpoints):
            msg = "an endpoint's name is that of a file, in snake_case"
            raise ValueError(msg)
        return endpoints


def check_names(
    variables: Mapping[str, Variable], events: Mapping[str, object], endpoints: tuple[Endpoint, ...]
) -> None:
    """Check the names of a specification.

    Raises:
        ValueError: A name is reserved, or an endpoint needs an event that nobody imports.
    """
    taken = RESERVED & set(variables)
    if taken:
        msg = f"{min(taken)} is a column of the patients table and cannot be a variable"
        raise ValueError(msg)
    if DEATH in events:
        msg = "death is imported by itself and is not listed among the events"
        raise ValueError(msg)
    for endpoint in endpoints:
        absent = set(endpoint.causes) - set(events) - {DEATH}
        if absent:
            known = ", ".join([*events, DEATH])
            msg = f"endpoint {endpoint.name}: {min(absent)} is not among the events; they are {known}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Records:
    """What was found of the patients with an infusion; days count from it."""

    patients: pd.DataFrame
    """person (int), end_day (of observation), death_day (NaN where alive), and baseline variables."""
    events: pd.DataFrame
    """person, day, event."""
    measurements: pd.DataFrame
    """person, day, variable, value, unit (None where the source has none)."""
    notes: tuple[str, ...] = field(default=())


def write_records(
    folder: Path, spec: RecordsSpec, variables: Mapping[str, Variable], records: Records, source: str
) -> None:
    """Write the cohort folder, whole or not at all.

    Args:
        folder: Where; must be absent or empty.
        spec: The specification.
        variables: What the cohort declares.
        records: What was found.
        source: Name of the source, for the notes.

    Raises:
        SequelaError: There are no patients, a unit does not convert, or `folder` exists and is not empty.
    """
    if records.patients.empty:
        msg = f"{source}: nobody has an infusion within observation; correct infusion in the specification"
        raise SequelaError(msg)
    found = records.patients.sort_values("person", ignore_index=True)
    died = found["death_day"].notna().to_numpy()
    follow_up = np.where(died, found["death_day"].to_numpy(dtype=float), found["end_day"].to_numpy(dtype=float))
    ids = _identifiers(found["person"], spec)
    last = pd.Series(follow_up, index=found["person"])
    events, n_late_events = _within(records.events.drop_duplicates(), last)
    measured, n_late = _within(records.measurements, last)
    measured, n_unitless = in_declared_units(measured, variables, spec.units, source)
    deaths = pd.DataFrame({"person": found["person"], "day": follow_up, "event": DEATH})[died]
    events = pd.concat([events, deaths]) if len(events) else deaths
    patients = pd.DataFrame({"patient_id": found["person"].map(ids), "follow_up_days": follow_up})
    for name in found.columns.difference(["person", "end_day", "death_day"], sort=False):
        patients[name] = found[name].to_numpy()
    tables = {
        "patients": patients,
        "events": _dated(events, ids, ["event"]),
        "measurements": _dated(measured, ids, ["variable", "value"]),
    }
    counts = (
        (n_late_events, "events after follow-up are left out"),
        (n_late, "measurements after follow-up are left out"),
        (n_unitless, "measurements have no unit and are taken to be in the declared one"),
    )
    notes = [spec.notes, *records.notes, *(f"{n:,} {what}." for n, what in counts if n), f"Imported from {source}."]
    for note in notes[1:-1]:
        logger.warning("%s", note)
    card = CohortCard(
        title=spec.title,
        citation=spec.citation,
        licence=spec.licence,
        provenance=spec.provenance,
        variables=dict(variables),
        notes=" ".join(note for note in notes if note),
    )
    write_cohort(folder, card, tables, endpoints={endpoint.name: endpoint for endpoint in spec.endpoints})


def _identifiers(person: pd.Series, spec: RecordsSpec) -> dict[int, str]:
    """The cohort's identifier of each person."""
    if spec.patient_ids == "keep":
        return {int(one): str(one) for one in person}
    shuffled = np.random.default_rng(spec.seed).permutation(len(person))
    width = len(str(len(person)))
    return {int(one): f"P{number + 1:0{width}d}" for one, number in zip(person, shuffled, strict=True)}


def _within(table: pd.DataFrame, last: pd.Series) -> tuple[pd.DataFrame, int]:
    """The rows up to each person's last day, and how many are beyond it."""
    kept = table["day"].to_numpy(dtype=float) <= table["person"].map(last).to_numpy(dtype=float)
    return table[kept].reset_index(drop=True), int((~kept).sum())


def _dated(table: pd.DataFrame, ids: Mapping[int, str], columns: list[str]) -> pd.DataFrame:
    table = table.assign(patient_id=table["person"].map(ids))
    return table.sort_values(["patient_id", "day", *columns], ignore_index=True)[["patient_id", "day", *columns]]


def in_declared_units(
    measured: pd.DataFrame, variables: Mapping[str, Variable], spellings: Mapping[str, str], source: str
) -> tuple[pd.DataFrame, int]:
    """Measurements with values in the declared units, and how many had no unit.

    Raises:
        SequelaError: A unit is not known or does not convert; variable, unit, and number of values are named.
    """
    value = measured["value"].to_numpy(dtype=float).copy()
    unit = measured["unit"].where(measured["unit"].notna(), None)
    pairs = pd.DataFrame({"variable": measured["variable"].astype(str), "unit": unit.fillna("").astype(str)})
    for rows in pairs.groupby(["variable", "unit"], sort=True).indices.values():
        name, given = pairs.iloc[int(rows[0])]
        if given == "":
            continue
        declared = variables[name]
        try:
            read = spellings.get(given, given)
            value[rows] = convert_analyte(value[rows], read, declared.unit, analyte_of(name, declared))
        except UnitError as error:
            remedy = (
                f"Say what it means under units, e.g. `units: {{{given!r}: {declared.unit!r}}}`, or correct the source"
            )
            msg = f"{source}: {name} has {len(rows):,} values in {given!r}: {error} {remedy}"
            raise SequelaError(msg) from error
    return measured.assign(value=value).drop(columns="unit"), int(unit.isna().sum())
