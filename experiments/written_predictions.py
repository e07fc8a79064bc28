"""What a finished run wrote, read again: from its folder here, or from its artifacts in a store elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from experiments.crossval import OutOfFold, even_grid
from experiments.data import TrainingRows
from experiments.home import Home
from features.errors import SequelaError


def report_file(client: MlflowClient, home: Home, run: Run, name: str) -> Path:
    """A file of a run's report: here, or downloaded from the store.

    Raises:
        SequelaError: It is in neither.
    """
    local = home.runs / str(run.info.run_id) / "report" / name
    if local.is_file():
        return local
    try:
        return Path(str(client.download_artifacts(run.info.run_id, name)))
    except (MlflowException, OSError) as error:
        msg = f"run {run.info.run_name}: {name} is neither in {local.parent} nor among its artifacts; train it again"
        raise SequelaError(msg) from error


def written_predictions(
    client: MlflowClient, home: Home, run: Run, name: str, split: list[dict[str, object]], rows: TrainingRows
) -> OutOfFold:
    """The written predictions, as an array over the rows.

    Raises:
        SequelaError: They are not those of the rows, the causes or the times.
    """
    table = pd.read_parquet(report_file(client, home, run, "oof_predictions.parquet"))
    grid, causes = even_grid(rows.endpoint), pd.Index(rows.outcomes.causes)
    repeat_of = {fold["fold"]: fold["repeat"] for fold in split}
    days = rows.patients.landmark_day
    keys = pd.MultiIndex.from_arrays([rows.patients.patient_id.astype(str), days])
    row = keys.get_indexer(pd.MultiIndex.from_arrays([table["patient_id"].astype(str), table["landmark_day"]]))
    time = np.searchsorted(grid, table["horizon_days"].to_numpy() * (1 - 1e-9))  # written in decimal, elsewhere perhaps
    place = (table["fold"].map(repeat_of), pd.Series(row), pd.Series(causes.get_indexer(pd.Index(table["cause"]))))
    index = np.column_stack([*(part.fillna(-1).to_numpy(dtype=np.int64) for part in place), time])
    shape = (len(set(repeat_of.values())), len(days), len(causes), len(grid))
    if (index < 0).any() or (time >= len(grid)).any() or len(np.unique(index, axis=0)) < len(index):
        msg = f"run {name}: its predictions are not of these patients, causes and times; train it again"
        raise SequelaError(msg)
    incidence: NDArray[np.float64] = np.full(shape, np.nan)
    incidence[tuple(index.T)] = table["incidence"]
    n_written = np.isfinite(incidence).sum(axis=(2, 3))
    if not np.isin(n_written, (0, len(causes) * len(grid))).all() or (n_written != n_written[:1]).any():
        msg = f"run {name}: some of its predictions are missing; train it again"
        raise SequelaError(msg)
    return OutOfFold((), grid, incidence)
