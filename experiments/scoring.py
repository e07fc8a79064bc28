"""Out-of-fold predictions against what happened, landmark by landmark."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.data import TrainingRows
from experiments.out_of_fold import OutOfFold
from training.evaluation.scores import Scores, evaluate, mean_scores


def score(rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig) -> dict[float, Scores]:
    """Score each landmark's out-of-fold predictions, averaged over repeats of the cross-validation."""
    by_day: dict[float, Scores] = {}
    for day in rows.endpoint.landmark_days:
        of_day = scored_rows(rows, out_of_fold, day)
        repeats = [
            evaluate(
                incidence[of_day],
                out_of_fold.times_days,
                rows.outcomes.take(of_day),
                rows.endpoint.horizons_days,
                rows.patients.patient_id[of_day],
                n_bootstrap=config.validation.bootstrap,
                seed=config.seed,
                fold=fold[of_day],
            )
            for incidence, fold in zip(out_of_fold.incidence, out_of_fold.fold, strict=True)
        ]
        by_day[day] = mean_scores(repeats)
    return by_day


def scored_rows(rows: TrainingRows, out_of_fold: OutOfFold, landmark_day: float) -> NDArray[np.int64]:
    """Rows of a landmark that are scored.

    Patients who came under observation after the landmark train, but are not scored: censoring weights are not defined
    for them. Nor are those scored whom no fold tests.
    """
    scored = out_of_fold.tested & rows.outcomes.from_landmark
    return np.flatnonzero((rows.patients.landmark_day == landmark_day) & scored)


def scores_table(scores: Mapping[float, Scores]) -> pd.DataFrame:
    """Long table of every score with its interval: landmark_day, cause, horizon_days, metric, point, low, high."""
    return pd.DataFrame([{"landmark_day": day} | row for day, of_day in scores.items() for row in of_day.table()])
