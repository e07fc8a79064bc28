"""From a cohort folder and an endpoint to the rows that models are trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.check import examine
from features.cohort import Cohort, outcomes_at, to_patients
from features.errors import CohortError, SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from features.schema import Endpoint

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Every patient at risk, once for each landmark day at which it is."""

    cohort: Cohort
    endpoint: Endpoint
    patients: Patients
    outcomes: Outcomes


def load_rows(
    cohort_folder: Path, endpoint: Endpoint, *, cells: bool, progress: Progress | None = None
) -> TrainingRows:
    """Read a cohort, summarise its cells where they are wanted, and apply the endpoint at each landmark.

    Raises:
        SequelaError: The cohort has findings, or nobody is at risk at a landmark, or nobody has the event.
    """
    examination = examine(cohort_folder, endpoint)
    if examination.cohort is None:
        raise CohortError(examination.findings)
    cohort = examination.cohort
    patients = all_patients(cohort, cells=cells, progress=progress)
    rows, days, outcomes = [], [], []
    for day in endpoint.landmark_days:
        at_risk, from_day = outcomes_at(cohort, endpoint, day)
        if not (from_day.cause == 1).any():
            msg = f"endpoint {endpoint.name}: nobody has the event {endpoint.event.name} after landmark day {day:g}"
            raise SequelaError(msg)
        rows.append(at_risk)
        days.append(np.full(len(at_risk), day))
        outcomes.append(from_day)
    stacked = patients.take(np.concatenate(rows)).at_landmark(np.concatenate(days))
    return TrainingRows(cohort, endpoint, stacked, Outcomes.concatenate(outcomes))


def all_patients(cohort: Cohort, *, cells: bool, progress: Progress | None = None) -> Patients:
    """All patients of a cohort, one row each, with their cells summarised if wanted and present."""
    if not cells or cohort.cells is None:
        return to_patients(cohort)
    from features.cells.anndata_io import summarise_samples  # anndata takes seconds to import

    return to_patients(cohort, summarise_samples(cohort, progress))
