"""Out-of-fold predictions of finished runs on the same rows, or why they cannot be set against each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run
from numpy.typing import NDArray

from experiments.config import load_run
from experiments.data import TrainingRows
from experiments.home import Home
from experiments.run_files import recorded_rows, report_file, written_predictions
from experiments.written_predictions import tested_together
from features.errors import SequelaError
from features.schema import Endpoint


@dataclass(frozen=True, slots=True)
class Paired:
    """Predictions of runs on the same rows."""

    rows: TrainingRows
    """Without cells."""
    times_days: NDArray[np.float64]
    """(times,): the even grid."""
    incidence: tuple[NDArray[np.float64], ...]
    """For each run (repeats, rows, causes, times); NaN for rows that are never tested."""
    fold: NDArray[np.int64]
    """(repeats, rows): the number of the fold that tests the row, of the first run; −1 where none does."""

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
    splits = [json.loads(report_file(client, home, run, "splits.json").read_text("utf-8")) for run in runs]
    for run, split in zip(runs[1:], splits[1:], strict=True):
        _require_same(runs[0], run, tested_together(splits[0]) == tested_together(split))
    folder = cohort or load_run(report_file(client, home, runs[0], "run.yaml")).cohort
    rows = recorded_rows(runs[0], home, folder, endpoint)
    found = [
        written_predictions(client, home, run, str(run.info.run_name), split, rows)
        for run, split in zip(runs, splits, strict=True)
    ]
    return Paired(rows, found[0].times_days, tuple(one.incidence for one in found), found[0].fold)


def _require_same(first: Run, other: Run, splits_agree: bool) -> None:  # noqa: FBT001
    tags = ("sequela.endpoint_digest", "definition of the endpoint"), ("sequela.cohort", "cohort")
    different = [what for tag, what in tags if first.data.tags.get(tag) != other.data.tags.get(tag)]
    if different or not splits_agree:
        what = " and ".join(different) or "cross-validation splits"
        msg = f"{other.info.run_name} ({other.info.run_id[:8]}) was scored on another {what}"
        raise SequelaError(msg.replace("another cross-validation", "other cross-validation"))
