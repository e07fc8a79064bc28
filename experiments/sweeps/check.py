"""The whole space before the first trial: every choice is a run that can be, on patients who are there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.config import RunConfig
from experiments.crossval import folds_of
from experiments.data import TrainingRows, load_rows, rows_of_run
from experiments.home import Home
from experiments.sweeps.config import Objective, Sweep
from experiments.sweeps.objective import landmarks_of
from experiments.sweeps.space import OF_ENDPOINT, Space
from features.check import read_endpoint
from features.config import FeatureConfig
from features.documents import nearest
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.schema import Endpoint
from training.config import sees_cells

Progress = Callable[[int, int], None]
PATHS_OF_RUN = {"name", "experiment", "cohort", "endpoint", "also"}
"""What differs between machines, or is known by its content."""


@dataclass(slots=True)
class RowsOfRuns:
    """Training rows, read once for all trials that share them."""

    home: Home
    progress: Progress | None = None
    """Told how many cells of how many were stored."""
    _known: dict[tuple[object, ...], TrainingRows] = field(default_factory=dict)

    def of(self, config: RunConfig) -> TrainingRows:
        """The rows that a run trains on."""
        cells = bool(config.features.cells) or sees_cells(config.model)
        processing = config.features.processing.model_dump_json() if cells else ""
        key = (config.endpoint, config.also, cells, processing)
        if key not in self._known:
            self._known[key] = rows_of_run(config, self.home, self.progress)
        return self._known[key]

    def scored(self, config: RunConfig) -> TrainingRows:
        """The same rows without their cells, which scoring does not need."""
        key = (config.endpoint, "scored")
        if key not in self._known:
            clinic = FeatureConfig(cells=())
            self._known[key] = load_rows(config.cohort, read_endpoint(config.endpoint), clinic, self.home.features)
        return self._known[key]


def check_sweep(sweep: Sweep, space: Space, rows: RowsOfRuns) -> dict[str, Any]:
    """Make sure that no trial is impossible.

    Every choice, both ends of every range, and every pair of them must make a run; the cohort must have the patients,
    features and cells that they name; and all must be scored alike.

    Returns:
        What the sweep is, by content and not by path: two sweeps are the same study when these are equal.

    Raises:
        SequelaError: Something cannot be; names the parameter, the key and the nearest valid one.
    """
    file = sweep.config.name
    runs = [(f"{file}: {probed}", space.run(chosen, f"{file}: space, {probed}")) for probed, chosen in space.probes()]
    endpoints = {run.endpoint: read_endpoint(run.endpoint) for _, run in runs}
    _check_objective(sweep, list(endpoints.values()))
    _check_cells(sweep, runs, rows)
    seen = set()
    for probed, run in runs:
        clinic = run.features.model_copy(update={"cells": (), "inflamix": False})
        known = (run.endpoint, clinic.model_dump_json(), bool(run.features.cells), sees_cells(run.model), run.also)
        if known in seen:
            continue
        seen.add(known)
        try:
            of_run = rows.of(run)
            folds_of(of_run, run)
            PatientEncoder.fit(of_run.patients, of_run.cohort.card, clinic)
        except SequelaError as error:
            raise SequelaError(f"{probed}: {error}") from error
    return _identity(sweep, rows.scored(sweep.base).cohort.fingerprint, list(endpoints.values()))


def _check_objective(sweep: Sweep, endpoints: list[Endpoint]) -> None:
    """All trials have the cause and the landmarks that are scored, and are scored on the same scale."""
    objective, name = sweep.config.objective, sweep.config.name
    for endpoint in endpoints:
        if objective.cause is not None and objective.cause not in endpoint.causes:
            msg = f"objective.cause: endpoint {endpoint.name} has no cause {objective.cause}."
            raise SequelaError(f"{name}: {msg} {nearest(objective.cause, endpoint.causes)}")
        for day in objective.landmark_days or ():
            if day not in endpoint.landmark_days:
                have = ", ".join(f"{known:g}" for known in endpoint.landmark_days)
                msg = f"objective.landmark_days: {day:g} is no landmark of every endpoint tried (one has {have})"
                raise SequelaError(f"{name}: {msg}; score days that all of them have")
    if objective.metric == "ibs" and len({_scored(endpoint, objective) for endpoint in endpoints}) > 1:
        keys = [key for key in sweep.config.space if key == "endpoint" or key.startswith(OF_ENDPOINT)]
        msg = f"space.{keys[0]}: its choices are scored from different landmarks, to different horizons or for other "
        msg += "events, where Brier scores cannot be compared; set objective.metric to ipa, or objective.landmark_days "
        raise SequelaError(f"{name}: {msg}to days that all choices have")


def _scored(endpoint: Endpoint, objective: Objective) -> str:
    """What a score of this endpoint is a score of."""
    of = endpoint.model_copy(update={"landmark_days": landmarks_of(objective, endpoint), "name": ""})
    return of.model_dump_json()


def _check_cells(sweep: Sweep, runs: list[tuple[str, RunConfig]], rows: RowsOfRuns) -> None:
    """Where the space asks what cells add, there must be cells: a clinical cohort would answer "nothing"."""
    asked = {(run.features.cells, sees_cells(run.model)) for _, run in runs}
    if len(asked) == 1 or rows.scored(sweep.base).cohort.cells is not None:
        return
    probed = next(probed for probed, run in runs if run.features.cells or sees_cells(run.model))
    msg = f"{probed}: looks at cells, and {sweep.base.cohort} has none; add cells.h5ad or cells.zarr to the cohort"
    raise SequelaError(f"{msg}, or leave cells out of the space and set features.cells=[] in `overrides`")


def _identity(sweep: Sweep, cohort: str, endpoints: list[Endpoint]) -> dict[str, Any]:
    run = sweep.base.model_dump(mode="json", exclude_unset=True, exclude=PATHS_OF_RUN)
    reference = sweep.base.features.processing.reference
    if reference is not None:
        run["features"]["processing"]["reference"] = hashlib.sha256(Path(reference).name.encode()).hexdigest()[:12]
    of_sweep = sweep.config.model_dump(mode="json", exclude={"name", "run", "trials", "overrides"})
    if sweep.config.objective.metric == "c":
        of_sweep["objective"]["between"] = "patients of one fold"  # studies of before had C across folds
    texts = sorted(endpoint.model_dump_json() for endpoint in endpoints)
    return of_sweep | {"run": run, "cohort": cohort, "endpoints": {str(n): text for n, text in enumerate(texts)}}
