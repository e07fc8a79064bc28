"""Out-of-fold predictions: at which times they are made, and the files in which they are written.

Nothing here trains, so that what only reads a run imports nothing that does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.schema import Endpoint
from training.splits import Fold

if TYPE_CHECKING:
    from experiments.data import TrainingRows

GRID_POINTS = 50
"""Times of the even grid up to the last horizon on which out-of-fold predictions are written."""


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Predictions of every row by a model that never saw its patient, once a repeat."""

    folds: tuple[Fold, ...]
    times_days: NDArray[np.float64]
    """(times,): the even grid and the horizons, ascending."""
    incidence: NDArray[np.float64]
    """(repeats, rows, causes, times); NaN for rows that are never tested, as the earliest in time."""
    fold: NDArray[np.int64]
    """(repeats, rows): the number of the fold that tests the row, whose model predicted it; −1 where none does."""

    @property
    def tested(self) -> NDArray[np.bool_]:
        """(rows,): whether there is a prediction for the row."""
        whole: NDArray[np.bool_] = np.isfinite(self.incidence[0]).all(axis=(1, 2))
        return whole


def evaluation_times(endpoint: Endpoint) -> NDArray[np.float64]:
    """The even grid of 50 times up to the last horizon, and the horizons."""
    return np.union1d(even_grid(endpoint), endpoint.horizons_days)


def even_grid(endpoint: Endpoint) -> NDArray[np.float64]:
    """(50,): even times up to the last horizon, without 0."""
    return np.linspace(0.0, endpoint.horizons_days[-1], GRID_POINTS + 1)[1:]


def predictions_table(rows: TrainingRows, out_of_fold: OutOfFold) -> pd.DataFrame:
    """Long table: patient_id, fold, landmark_day, cause, horizon_days (the even grid), incidence."""
    grid = even_grid(rows.endpoint)
    at = np.searchsorted(out_of_fold.times_days, grid)
    causes = np.array(rows.outcomes.causes, dtype=object)
    parts = []
    for fold in out_of_fold.folds:
        values = out_of_fold.incidence[fold.repeat, fold.test][:, :, at]
        n_rows, n_causes, n_times = values.shape
        parts.append(
            pd.DataFrame(
                {
                    "patient_id": np.repeat(rows.patients.patient_id[fold.test], n_causes * n_times),
                    "fold": fold.number,
                    "landmark_day": np.repeat(rows.patients.landmark_day[fold.test], n_causes * n_times),
                    "cause": np.tile(np.repeat(causes, n_times), n_rows),
                    "horizon_days": np.tile(grid, n_rows * n_causes),
                    "incidence": values.reshape(-1),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def splits_record(rows: TrainingRows, out_of_fold: OutOfFold) -> list[dict[str, object]]:
    """For each fold, its repeat and its test patients: enough to repeat the split with other software."""
    return [
        {
            "fold": fold.number,
            "repeat": fold.repeat,
            "held_out": fold.held_out,
            "test_patients": sorted(set(map(str, rows.patients.patient_id[fold.test]))),
        }
        for fold in out_of_fold.folds
    ]
