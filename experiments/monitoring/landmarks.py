"""How well a marker tells, on each day, who will have the event within the horizon: AUC; Brier score of risks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.monitoring.markers import MODEL, Marker
from experiments.monitoring.visits import VisitRows
from training.evaluation.brier import brier_score, null_brier_score, prediction_accuracy
from training.evaluation.discrimination import auc
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.ipcw import scoring_weights

FEWEST_EVENTS = 5
"""With fewer within the horizon nothing is said of a day."""


@dataclass(frozen=True, slots=True)
class OnDay:
    """Of one marker on one day, on patients whose marker is known."""

    day: float
    marker: str
    either_way: bool
    """Whether it is a single laboratory value."""
    n_patients: int
    n_events: int
    auc: Interval
    """Below 0.5 where low values go with the event."""
    brier: Interval | None
    """Mean squared error of risks, lower is better; censoring is weighted for. Of risks alone."""
    accuracy: Interval | None
    """Index of prediction accuracy against the Aalen–Johansen estimate; of risks alone."""


def by_day(
    markers: Sequence[Marker],
    rows: VisitRows,
    fold: NDArray[np.int64],
    horizon_days: float,
    *,
    seed: int,
    n_bootstrap: int,
) -> list[OnDay]:
    """Each marker on each day of the rows, with intervals over patients (resamples of the rows of the day).

    The AUC of the model is between patients of one `fold` (rows,), since each fold has a model of its own.
    """
    found = []
    for day in np.unique(rows.patients.landmark_day):
        for marker in markers:
            own = np.flatnonzero((rows.patients.landmark_day == day) & np.isfinite(marker.values))
            outcomes = rows.outcomes.take(own)
            n_events = int(((outcomes.cause == 1) & (outcomes.duration_days <= horizon_days)).sum())
            if n_events >= FEWEST_EVENTS:
                found.append(_on_day(marker, rows, fold, own, float(day), horizon_days, n_events, seed, n_bootstrap))
    return found


def _on_day(
    marker: Marker,
    rows: VisitRows,
    fold: NDArray[np.int64],
    own: NDArray[np.int64],
    day: float,
    horizon_days: float,
    n_events: int,
    seed: int,
    n_bootstrap: int,
) -> OnDay:
    outcomes, times = rows.outcomes.take(own), np.array([horizon_days])
    values = np.repeat(marker.values[own][:, None, None], len(outcomes.causes), axis=1)
    drawn = list(resample_patients(rows.number[own], n_bootstrap, np.random.default_rng(seed)))
    weights = [scoring_weights(outcomes, times, resamples=block) for block in (np.ones((1, len(own))), *drawn)]

    def interval(parts: list[NDArray[np.float64]]) -> Interval:
        draws = np.concatenate([part[..., 0, 0] for part in parts[1:]]) if parts[1:] else np.empty(0)
        return percentile_interval(float(parts[0][0, 0, 0]), draws)

    of_model = fold[own] if marker.name == MODEL else None
    told = interval([auc(values, times, outcomes, one, of_model) for one in weights])
    brier, accuracy = None, None
    if marker.name == MODEL:
        scores = [brier_score(values, times, outcomes, one) for one in weights]
        nulls = [null_brier_score(times, outcomes, one) for one in weights]
        brier = interval(scores)
        accuracy = interval([prediction_accuracy(s, n) for s, n in zip(scores, nulls, strict=True)])
    return OnDay(day, marker.name, marker.either_way, len(own), n_events, told, brier, accuracy)
