"""From a cohort folder and an endpoint to the rows that models are trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.config import RunConfig
from experiments.home import Home
from features.cells.processing import CellProcessing, CellProcessor
from features.cells.reference_mapping import ReferenceMapper
from features.check import examine, read_endpoint
from features.cohort import Cohort, outcomes_at, to_patients
from features.config import FeatureConfig
from features.errors import CohortError, SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from features.schema import CellsCard, Endpoint
from training.config import sees_cells
from training.fitting.companions import Companion

if TYPE_CHECKING:
    from features.cells.store import CellStore

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Every patient at risk, once for each landmark day at which it is."""

    cohort: Cohort
    endpoint: Endpoint
    patients: Patients
    outcomes: Outcomes
    companions: tuple[Companion, ...] = ()
    """Rows of other endpoints, from which networks learn too."""


def rows_of_run(config: RunConfig, home: Home, progress: Progress | None = None) -> TrainingRows:
    """The rows that a run trains on, its companions with them; see `load_rows`."""
    return load_rows(
        config.cohort,
        read_endpoint(config.endpoint),
        config.features,
        home.features,
        cells=sees_cells(config.model),
        progress=progress,
        also=[read_endpoint(path) for path in config.also],
    )


def load_rows(
    cohort_folder: Path,
    endpoint: Endpoint,
    features: FeatureConfig,
    store: Path,
    *,
    cells: bool = False,
    progress: Progress | None = None,
    also: Sequence[Endpoint] = (),
) -> TrainingRows:
    """Read a cohort, take its cells from the feature store where they are wanted, and apply the endpoint.

    Args:
        cohort_folder: The cohort folder.
        endpoint: Applied at each of its landmarks.
        features: Whether cells are wanted, and how they are processed.
        store: Folder of the feature stores; one is built there when there is none for these cells.
        cells: Whether the model looks at single cells, though no feature may be made of them.
        progress: Told how many cells of how many were stored.
        also: Endpoints of companions.

    Raises:
        SequelaError: The cohort has findings, or nobody is at risk at a landmark, or nobody has the event.
    """
    for one in (*also, endpoint):
        examination = examine(cohort_folder, one)
        if examination.cohort is None:
            raise CohortError(examination.findings)
        cohort = examination.cohort
    processing = features.processing if features.cells or cells else None
    if processing is not None and processing.reference is not None:
        ReferenceMapper.load(processing.reference).require_unseen(cohort.patients["patient_id"])
    patients = all_patients(cohort, processing, store, progress=progress)
    companions = tuple(Companion(*at_landmarks(cohort, one, patients)) for one in also)
    return TrainingRows(cohort, endpoint, *at_landmarks(cohort, endpoint, patients), companions)


def at_landmarks(cohort: Cohort, endpoint: Endpoint, patients: Patients) -> tuple[Patients, Outcomes]:
    """Rows of an endpoint: every patient at each landmark at which he is at risk.

    Raises:
        SequelaError: Nobody is at risk at a landmark, or nobody has the event after it.
    """
    rows, days, outcomes = [], [], []
    for day in endpoint.landmark_days:
        at_risk, from_day = outcomes_at(cohort, endpoint, day)
        if not (from_day.cause == 1).any():
            msg = (
                f"endpoint {endpoint.name}: nobody has the event {endpoint.event.name} after landmark day {day:g}; "
                "choose an earlier one in landmark_days, or count milder events too (event.min_grade)"
            )
            raise SequelaError(msg)
        rows.append(at_risk)
        days.append(np.full(len(at_risk), day))
        outcomes.append(from_day)
    stacked = patients.take(np.concatenate(rows)).at_landmark(np.concatenate(days))
    return stacked, Outcomes.concatenate(outcomes)


def all_patients(
    cohort: Cohort,
    processing: CellProcessing | CellProcessor | None,
    store: Path,
    *,
    progress: Progress | None = None,
) -> Patients:
    """All patients of a cohort, one row each, with their cells from the feature store if wanted and present."""
    if processing is None or cohort.cells is None:
        return to_patients(cohort)
    return to_patients(cohort, stored_cells(cohort, processing, store, progress=progress).measured())


def stored_cells(
    cohort: Cohort,
    processing: CellProcessing | CellProcessor,
    store: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> CellStore:
    """The feature store of a cohort's cells under some processing, built if there is none.

    Raises:
        SequelaError: The cohort has no cells, or they cannot be read, processed or stored.
    """
    if cohort.cells is None:
        msg = f"{cohort.folder}: the cohort has no cells; add cells.h5ad or cells.zarr, or leave features.cells empty"
        raise SequelaError(msg)
    from features.cells.store import build  # builds with anndata, which takes seconds to import

    card = cohort.card.cells or CellsCard()
    if isinstance(processing, CellProcessing):
        processing = CellProcessor(processing.resolved(), counts=card.values == "counts")
    key = CellProcessing.model_validate(processing.state()[0]["config"])  # names no path of this machine
    return build(cohort.cells, store, card, key, processing, workers=workers, progress=progress)
