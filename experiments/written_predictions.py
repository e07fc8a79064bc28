"""The out-of-fold predictions that a finished run wrote, read again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.data import TrainingRows
from experiments.out_of_fold import even_grid
from features.errors import SequelaError


def tested_together(split: list[dict[str, Any]]) -> set[tuple[int, frozenset[str]]]:
    """Which patients each fold of a run's splits.json tested, in which repeat."""
    return {(fold["repeat"], frozenset(map(str, fold["test_patients"]))) for fold in split}


def predicted_over_rows(
    table: pd.DataFrame, split: list[dict[str, Any]], rows: TrainingRows, name: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Written predictions, row by row.

    Args:
        table: As `experiments.crossval.predictions_table` makes it.
        split: As `experiments.crossval.splits_record` makes it.
        rows: The rows that were trained on.
        name: Of the run, for what is said when they do not fit.

    Returns:
        Incidence (repeats, rows, causes, times of the even grid), NaN for rows that were not tested; and the number of
        the fold (repeats, rows) that tested them, −1 where none did.

    Raises:
        SequelaError: The predictions are not those of the rows, the causes or the times.
    """
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
    fold = np.full(shape[:2], -1, dtype=np.int64)
    fold[index[:, 0], index[:, 1]] = table["fold"]
    return incidence, fold
