"""Finished runs in a real store, with given predictions: what a run leaves behind, without fitting its final model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import untested
from experiments.data import TrainingRows
from experiments.home import Home
from experiments.log_items import File, Metrics, headline_metrics, run_description
from experiments.out_of_fold import evaluation_times, predictions_table, splits_record
from experiments.scoring import score
from experiments.tracking import Tracker
from features.cohort import write_yaml
from training.models.nonparametric import aalen_johansen


def record(
    home: Home,
    config: RunConfig,
    rows: TrainingRows,
    incidence: NDArray[np.float64],
    *,
    scored: bool = False,
    keep_folder: bool = True,
) -> str:
    """Log a run as `train` does, with its report and the child runs of its folds; its id.

    Args:
        home: The stores.
        config: The run.
        rows: Its rows.
        incidence: (repeats, rows, causes, times), out of fold.
        scored: Whether the headline metrics are logged, which takes a bootstrap.
        keep_folder: Whether the report also stays in the home, or in the store alone, as of a run made elsewhere.
    """
    out_of_fold = replace(untested(rows, config), incidence=incidence)
    identity = {"config": config.digest(), "cohort": rows.cohort.fingerprint}
    tracker = Tracker.start(home, config.experiment, config.name, record=identity)
    report = tracker.folder / "report"
    report.mkdir()
    with tracker.ends_truthfully():
        tracker.log(run_description(config, rows))
        for fold in out_of_fold.folds:
            tracker.fold_started(fold)
            tracker.fold_ended(fold, incidence[fold.repeat, fold.test])
        predictions_table(rows, out_of_fold).to_parquet(report / "oof_predictions.parquet", index=False)
        (report / "splits.json").write_text(json.dumps(splits_record(rows, out_of_fold)), "utf-8")
        write_yaml(report / "run.yaml", config.model_dump(mode="json"))
        if scored:
            tracker.log([Metrics(headline_metrics(score(rows, out_of_fold, config)))])
        tracker.log([File(Path("report"))])
    if not keep_folder:
        for path in (tracker.folder / "report").iterdir():
            path.unlink()
    return tracker.run_id


def everyone_alike(rows: TrainingRows, repeats: int = 1) -> NDArray[np.float64]:
    """(repeats, rows, causes, times): each landmark's Aalen–Johansen estimate, for everyone."""
    times = evaluation_times(rows.endpoint)
    found = np.empty((repeats, len(rows.patients), len(rows.outcomes.causes), len(times)))
    for day in rows.endpoint.landmark_days:
        at = np.flatnonzero(rows.patients.landmark_day == day)
        found[:, at] = aalen_johansen(rows.outcomes.take(at)).at(times)
    return found


def telling(rows: TrainingRows, incidence: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """The same predictions, raised by a share for those who go on to have the event of interest, else lowered."""
    found = incidence.copy()
    found[:, :, 0] *= np.where(rows.outcomes.cause == 1, 1 + strength, 1 - strength)[None, :, None]
    return found


def noisy(incidence: NDArray[np.float64], seed: int, spread: float = 0.2) -> NDArray[np.float64]:
    """The same predictions, each row's risks raised or lowered at random."""
    rng = np.random.default_rng(seed)
    return incidence * np.exp(rng.normal(0, spread, (*incidence.shape[:2], 1, 1)) - spread**2 / 2) * 0.95
