"""Out-of-fold predictions of finished runs on the same rows, or why they cannot be set against each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from experiments.config import load_run
from experiments.data import TrainingRows, load_rows
from experiments.home import Home
from features.config import FeatureConfig
from features.errors import SequelaError
from features.schema import Endpoint


@dataclass(frozen=True, slots=True)
class Paired:
    """Predictions of runs on the same rows."""

    rows: TrainingRows
    """Without cells."""
    times_days: NDArray[np.float64]
    """(times,): those at which predictions were written."""
    incidence: tuple[NDArray[np.float64], ...]
    """For each run (repeats, rows, causes, times); NaN for rows that are never tested."""

    def tested_from(self, landmark_day: float) -> NDArray[np.int64]:
        """Rows of a landmark that can be scored."""
        scored = self.rows.outcomes.from_landmark & np.isfinite(self.incidence[0][0]).all(axis=(1, 2))
        return np.flatnonzero((self.rows.patients.landmark_day == landmark_day) & scored)


def paired(
    client: MlflowClient, home: Home, runs: Sequence[Run], endpoint: Endpoint, cohort: Path | None = None
) -> Paired:
    """Read what finished runs predicted for patients that they had not seen.

    Args:
        client: The store.
        home: Folders of runs made here; those made elsewhere are read from the store.
        runs: One or more.
        endpoint: Of the first run.
        cohort: Where the cohort lies now; None: where it was when the first run was trained.

    Raises:
        SequelaError: Endpoint, patients or splits differ, or the cohort or a file of a run is gone or was changed.
    """
    splits = [json.loads(run_file(client, home, run, "splits.json").read_text("utf-8")) for run in runs]
    for run, split in zip(runs[1:], splits[1:], strict=True):
        _require_same(runs[0], run, _parts(splits[0]) == _parts(split))
    rows = _rows(client, home, runs[0], endpoint, cohort)
    tables = [pd.read_parquet(run_file(client, home, run, "oof_predictions.parquet")) for run in runs]
    times = np.unique(tables[0]["horizon_days"])
    incidence = [_incidence(table, split, rows, times) for table, split in zip(tables, splits, strict=True)]
    return Paired(rows, times, tuple(incidence))


def run_file(client: MlflowClient, home: Home, run: Run, name: str) -> Path:
    """A file of a run's report: here, or downloaded from the store.

    Raises:
        SequelaError: It is in neither.
    """
    local = home.runs / run.info.run_id / "report" / name
    if local.is_file():
        return local
    try:
        return Path(str(client.download_artifacts(run.info.run_id, name)))
    except (MlflowException, OSError) as error:
        msg = f"run {run.info.run_name}: {name} is neither in {local.parent} nor among its artifacts; train it again"
        raise SequelaError(msg) from error


def _parts(split: list[dict[str, Any]]) -> set[tuple[int, frozenset[str]]]:
    """Which patients were tested together, in which repeat."""
    return {(fold["repeat"], frozenset(fold["test_patients"])) for fold in split}


def _require_same(first: Run, other: Run, splits_agree: bool) -> None:  # noqa: FBT001
    tags = ("sequela.endpoint_digest", "definition of the endpoint"), ("sequela.cohort", "cohort")
    different = [what for tag, what in tags if first.data.tags.get(tag) != other.data.tags.get(tag)]
    if different or not splits_agree:
        what = " and ".join(different) or "cross-validation splits"
        msg = f"{other.info.run_name} ({other.info.run_id[:8]}) was scored on another {what}"
        raise SequelaError(msg.replace("another cross-validation", "other cross-validation"))


def _rows(client: MlflowClient, home: Home, run: Run, endpoint: Endpoint, cohort: Path | None) -> TrainingRows:
    """The rows a run was trained on, if the cohort is still what it was."""
    folder = cohort or load_run(run_file(client, home, run, "run.yaml")).cohort
    if not folder.is_dir():
        msg = f"the cohort of {run.info.run_name} is no longer at {folder}; say where it lies with --cohort DIR"
        raise SequelaError(msg)
    rows = load_rows(folder, endpoint, FeatureConfig(cells=()), home.features)
    if rows.cohort.fingerprint != run.data.tags["sequela.cohort"]:
        msg = f"{folder}: is not the cohort that {run.info.run_name} was trained on, or was changed since; "
        raise SequelaError(msg + "restore it, or say where a copy lies with --cohort DIR")
    return rows


def _incidence(
    table: pd.DataFrame, split: list[dict[str, Any]], rows: TrainingRows, times_days: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The written predictions (repeats, rows, causes, times) over the rows."""
    repeat_of = {fold["fold"]: fold["repeat"] for fold in split}
    patients = rows.patients
    keys = pd.MultiIndex.from_arrays([patients.patient_id.astype(str), patients.landmark_day])
    index = (
        table["fold"].map(repeat_of).to_numpy(dtype=np.int64),
        keys.get_indexer(pd.MultiIndex.from_arrays([table["patient_id"].astype(str), table["landmark_day"]])),
        pd.Index(rows.outcomes.causes).get_indexer(pd.Index(table["cause"])),
        pd.Index(times_days).get_indexer(pd.Index(table["horizon_days"])),
    )
    if any((part < 0).any() for part in index):
        msg = (
            "oof_predictions.parquet does not hold predictions of the run's patients, causes and times; train it again"
        )
        raise SequelaError(msg)
    found = np.full((max(repeat_of.values()) + 1, len(patients), len(rows.outcomes.causes), len(times_days)), np.nan)
    found[index] = table["incidence"]
    return found
