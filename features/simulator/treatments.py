"""Treatments that start during follow-up, when a laboratory value is low, and that prevent infections.

Drawn after everything else, from numbers of their own: a cohort without treatments is as it was before there were any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from features.documents import read_document
from features.errors import SequelaError
from features.patients import FloatArray
from features.schema import Frozen
from features.simulator.clinic import Clinic
from features.simulator.config import Positive


class Treatment(Frozen):
    """When it starts, and what it does."""

    lab: str
    """The laboratory value that its start depends on: the last one before each day, from baseline on."""
    below: Positive
    """A value below this is low; a value that is not known is not."""
    start_per_day: Annotated[float, Field(gt=0, lt=1)]
    """Probability of a start on a day while the value is not low."""
    low_ratio: Positive
    """Times so probable while it is low."""
    frailty_ratio: Positive = 1.0
    """Times so probable for each standard deviation of frailty, which nobody measures: confounding that stays."""
    infection_hazard_ratio: Annotated[float, Field(gt=0, le=1)]
    """Of infections that are survived, mild and severe, from the day after the start on."""


class Treatments(Frozen):
    """Treatments by name."""

    treatments: dict[str, Treatment]


def load_treatments(path: Path) -> Treatments:
    """Read treatments from YAML.

    Raises:
        SequelaError: The file is absent, is not YAML, or says something that does not hold.
    """
    return read_document(path, Treatments)


def treated(
    clinic: Clinic,
    baseline: pd.DataFrame,
    measurements: pd.DataFrame,
    treatments: Treatments,
    rng: np.random.Generator,
) -> tuple[Clinic, Mapping[str, FloatArray]]:
    """Start treatments, and leave out the infections that they prevent.

    Infections are a Poisson process, and each after a start is kept with the probability of the hazard ratio: what is
    left has that hazard (Lewis & Shedler, Nav Res Logist Q 1979;26:403).

    Args:
        clinic: Patients and their courses without treatment.
        baseline: The patients table.
        measurements: The measurements table.
        treatments: What may start.
        rng: Owned by the caller.

    Returns:
        The clinic with the infections that happen, and each patient's day of start of each treatment; infinity: none.

    Raises:
        SequelaError: A treatment depends on a laboratory value that is not simulated.
    """
    starts = {}
    infections = clinic.course.infections
    kept = np.ones(len(infections.day), dtype=bool)
    for name, treatment in treatments.treatments.items():
        known = set(measurements["variable"])
        if treatment.lab not in known:
            msg = f"treatments.{name}.lab {treatment.lab}: is not measured; there are {', '.join(sorted(known))}"
            raise SequelaError(msg)
        start = _start(clinic, treatment, baseline, measurements[measurements["variable"] == treatment.lab], rng)
        after = infections.day > start[infections.patient]
        prevented = rng.random(len(infections.day)) >= treatment.infection_hazard_ratio
        kept &= ~(after & prevented & (infections.grade < 5))
        starts[name] = start
    left = replace(infections, patient=infections.patient[kept], day=infections.day[kept], grade=infections.grade[kept])
    return replace(clinic, course=replace(clinic.course, infections=left)), starts


def _start(
    clinic: Clinic,
    treatment: Treatment,
    baseline: pd.DataFrame,
    measured: pd.DataFrame,
    rng: np.random.Generator,
) -> FloatArray:
    """(patients,): the day of the start, before the end of follow-up; infinity: none."""
    n, n_days = len(clinic), int(clinic.course.follow_up_days.max())
    last = np.full((n, n_days), np.nan)
    if treatment.lab in baseline:
        last[:, 0] = baseline[treatment.lab].to_numpy(dtype=float)
    place = pd.Index(clinic.patient_ids).get_indexer(pd.Index(measured["patient_id"]))
    known_from = measured["day"].to_numpy(dtype=np.int64) + 1
    inside = (known_from > 0) & (known_from < n_days)
    last[place[inside], known_from[inside]] = measured["value"].to_numpy(dtype=float)[inside]
    last = pd.DataFrame(last).ffill(axis=1).to_numpy(dtype=float)
    often = treatment.start_per_day * treatment.frailty_ratio ** clinic.population.traits["frailty"]
    daily = np.minimum(often[:, None] * np.where(last < treatment.below, treatment.low_ratio, 1.0), 1.0)
    begins = (rng.random((n, n_days)) < daily) & (np.arange(n_days) < clinic.course.follow_up_days[:, None])
    return np.where(begins.any(axis=1), begins.argmax(axis=1), np.inf)


def with_starts(events: pd.DataFrame, clinic: Clinic, starts: Mapping[str, FloatArray]) -> pd.DataFrame:
    """The events table with starts of treatments as events, ordered by patient and day."""
    ids = np.array(clinic.patient_ids, dtype=object)
    blocks = [events]
    for name, start in starts.items():
        rows = np.flatnonzero(np.isfinite(start))
        block = pd.DataFrame(
            {"patient_id": ids[rows], "day": start[rows].astype(np.int64), "event": name, "detail": ""}
        )
        block["grade"] = pd.array([pd.NA] * len(rows), dtype="Int64")
        blocks.append(block)
    table = pd.concat(blocks, ignore_index=True)[list(events)]
    return table.sort_values(["patient_id", "day", "event"], kind="stable", ignore_index=True)
