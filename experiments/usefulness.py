"""Is a prediction of use? Decision curves, and how many events of a kind those of high and low risk go on to have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.data import TrainingRows
from experiments.out_of_fold import OutOfFold, even_grid
from experiments.scoring import scored_rows
from features.cohort_recurrence import recurrences_at
from features.errors import SequelaError
from training.evaluation.intervals import percentile_interval, resample_patients
from training.evaluation.net_benefit import NetBenefit, decision_curve
from training.models.mean_count import marginal_mean

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Risks from which on one would treat."""
THIRDS = ("lowest third of risk", "middle third of risk", "highest third of risk")


def net_benefit_table(rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig) -> pd.DataFrame:
    """Net benefit of treating by the predicted risk of the event of interest, at every landmark and horizon.

    From the first repeat's predictions: landmark_day, horizon_days, threshold, treated (share), and for the model,
    treating all, and the model's gain on the better of treating all and nobody: point, ``_low``, ``_high``.
    """
    found = []
    for day in rows.endpoint.landmark_days:
        for horizon in rows.endpoint.horizons_days:
            for one in curve_of(rows, out_of_fold, config, day, horizon, THRESHOLDS):
                line = {
                    "landmark_day": day,
                    "horizon_days": horizon,
                    "threshold": one.threshold,
                    "treated": one.treated,
                }
                for name in ("model", "treat_all", "gain"):
                    value = getattr(one, name)
                    line |= {name: value.point, f"{name}_low": value.low, f"{name}_high": value.high}
                found.append(line)
    return pd.DataFrame(found)


def curve_of(
    rows: TrainingRows,
    out_of_fold: OutOfFold,
    config: RunConfig,
    landmark_day: float,
    horizon_days: float,
    thresholds: Sequence[float],
) -> list[NetBenefit]:
    """Decision curve at one landmark and horizon, of the first repeat's predictions."""
    at = scored_rows(rows, out_of_fold, landmark_day)
    return decision_curve(
        out_of_fold.incidence[0, at, 0, int(np.searchsorted(out_of_fold.times_days, horizon_days))],
        rows.outcomes.take(at),
        1,
        horizon_days,
        thresholds,
        rows.patients.patient_id[at],
        rng=np.random.default_rng(config.seed),
        n_bootstrap=config.validation.bootstrap,
    )


def counts_table(rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig) -> pd.DataFrame | None:
    """Marginal mean number of events from the first landmark, of everyone and by thirds of the predicted risk.

    Every event counts, the first and those that come back, and nobody has any more after a competing event (Ghosh &
    Lin, Biometrics 2000;56:554–562). From the first repeat's predicted risk of a first event by the last horizon.

    Returns:
        group, patients, events, day, mean, low, high (95 % intervals over patients); None where no patient has a
        second event, or where patients enter after the landmark, for which counting is not defined.
    """
    endpoint = rows.endpoint
    day, at = endpoint.landmark_days[0], scored_rows(rows, out_of_fold, endpoint.landmark_days[0])
    try:
        followed, events = recurrences_at(rows.cohort, endpoint, day)
    except SequelaError:
        return None
    if not len(events.row) or np.bincount(events.row).max() < 2:
        return None
    ids = pd.Index(rows.cohort.patients["patient_id"].to_numpy()[followed])
    own = events.take(ids.get_indexer(pd.Index(rows.patients.patient_id[at])))
    times = even_grid(endpoint)
    rng = np.random.default_rng(config.seed)
    found = []
    for name, members in _groups(out_of_fold.incidence[0, at, 0, -1]).items():
        part = own.take(members)
        blocks = resample_patients(members, config.validation.bootstrap, rng)
        draws = np.concatenate([marginal_mean(part, block).at(times) for block in blocks])
        for time, mean, drawn in zip(times, marginal_mean(part).at(times), draws.T, strict=True):
            interval = percentile_interval(float(mean), drawn)
            found.append([name, len(part), len(part.row), time, interval.point, interval.low, interval.high])
    return pd.DataFrame(found, columns=["group", "patients", "events", "day", "mean", "low", "high"])


def _groups(risk: NDArray[np.float64]) -> dict[str, NDArray[np.int64]]:
    """Everyone, and thirds where the risks differ enough to tell three of them."""
    third = np.searchsorted(np.quantile(risk, [1 / 3, 2 / 3]), risk, side="left")
    groups = {"everyone": np.arange(len(risk))}
    if len(np.unique(third)) == len(THIRDS):
        groups |= {name: np.flatnonzero(third == number) for number, name in enumerate(THIRDS)}
    return groups
