"""What a sweep found: every trial, the best one, and what the best is worth."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from experiments.config import RunConfig
from experiments.crossval import untested
from experiments.log_items import File, LogItem, Metrics
from experiments.sweeps.figures import history_figure, importance_figure, slices_figure
from experiments.sweeps.objective import objective_values
from experiments.sweeps.worker import PREDICTIONS, Worker
from features.cohort import write_yaml
from features.errors import SequelaError
from training.evaluation.selection import Score, Selection, select

RESAMPLES = 500
"""Of patients; the corrected score is a mean over them."""
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


@dataclass(frozen=True, slots=True)
class Results:
    """A finished sweep, or what there is of one."""

    name: str
    metric: str
    cause: str
    provenance: str
    table: pd.DataFrame
    """Best first: trial, state, score, low, high, seconds, run_id, reason, and a column for each parameter. The score
    of a pruned trial is that by which it was pruned."""
    selection: Selection
    """Over the complete trials, in the order of the table."""
    best: RunConfig
    places: int
    """How many trials there are to be."""


def gather(worker: Worker) -> Results:
    """Score all complete trials together.

    Raises:
        SequelaError: No trial is complete, or its predictions cannot be read.
    """
    trials = worker.queue.trials()
    complete = {place: trial for place, trial in trials.items() if trial.state == TrialState.COMPLETE}
    if not complete:
        reasons = [reason_of_trial(trial) for trial in trials.values() if trial.state == TrialState.FAIL]
        said = f"the first failed: {reasons[0]}" if reasons else "it has not got so far"
        raise SequelaError(f"study {worker.sweep.config.name}: no trial is complete; {said}")
    maximised = worker.sweep.config.objective.maximised
    order = sorted(complete, key=lambda place: (-1 if maximised else 1) * float(complete[place].value or 0.0))
    best = worker.space.run(complete[order[0]].params, "best")
    base, rows = worker.sweep.base, worker.rows.scored(best)
    selection = select(
        [_score(worker, complete[place]) for place in order],
        len(rows.cohort.patients),
        higher_is_better=maximised,
        rng=np.random.default_rng(base.seed),
        n_bootstrap=RESAMPLES,
    )
    objective = worker.sweep.config.objective
    return Results(
        name=worker.sweep.config.name,
        metric=objective.metric,
        cause=objective.cause or rows.endpoint.event.name,
        provenance=rows.cohort.card.provenance,
        table=_table(worker, trials, order, selection),
        selection=selection,
        best=best.model_copy(update={"name": f"{worker.sweep.config.name}_best"}),
        places=worker.queue.places,
    )


def _score(worker: Worker, trial: FrozenTrial) -> Score:
    """The objective of a complete trial by how often each patient is drawn, from its out-of-fold predictions."""
    run = worker.space.run(trial.params, f"trial {trial.user_attrs['place']}")
    rows = worker.rows.scored(run)
    predicted = replace(untested(rows, run), incidence=_predictions(worker.client, trial))
    objective = worker.sweep.config.objective
    patients = np.unique(rows.cohort.patients["patient_id"].to_numpy().astype(str))
    of_row = np.searchsorted(patients, rows.patients.patient_id.astype(str))

    def score(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return objective_values(rows, predicted, objective, counts[:, of_row])

    return score


def _predictions(client: MlflowClient, trial: FrozenTrial) -> NDArray[np.float64]:
    run_id = trial.user_attrs["run_id"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = client.download_artifacts(run_id, PREDICTIONS, folder)
        except (MlflowException, OSError) as error:
            msg = f"trial {trial.user_attrs['place']} (run {run_id}): its {PREDICTIONS} cannot be read from MLflow"
            raise SequelaError(f"{msg}; if its store was away, `sequela sync` on the machine that ran it") from error
        values: NDArray[np.float64] = np.load(path, allow_pickle=False)
    return values


def _table(worker: Worker, trials: dict[int, FrozenTrial], order: list[int], selection: Selection) -> pd.DataFrame:
    finished = {place: trial for place, trial in sorted(trials.items()) if trial.state.is_finished()}
    lines = []
    for place in [*order, *(place for place in finished if place not in order)]:
        trial = finished[place]
        interval = selection.scores[order.index(place)] if place in order else None
        lines.append(
            {
                "trial": place,
                "state": STATES[trial.state],
                "score": trial.value,
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
                "run_id": trial.user_attrs.get("run_id", ""),
                "reason": reason_of_trial(trial) if trial.state == TrialState.FAIL else "",
                **{key: trial.params.get(key) for key in worker.space.parameters},
            }
        )
    return pd.DataFrame(lines)


def reason_of_trial(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    return str(trial.user_attrs.get("reason", "its workers were killed"))


def write_results(results: Results, study: optuna.Study, folder: Path) -> list[Path]:
    """trials.csv, best.yaml and the figures, with fixed names."""
    folder.mkdir(parents=True, exist_ok=True)
    results.table.to_csv(folder / "trials.csv", index=False)
    write_yaml(folder / "best.yaml", results.best.model_dump(mode="json"))
    title = f"{results.name}: {results.metric} of {results.cause} ({results.provenance})"
    parameters = [*results.table.columns[8:]]
    figures = {
        "sweep_history.png": history_figure(results.table, title, maximised=study.direction.name == "MAXIMIZE"),
        "sweep_importance.png": importance_figure(importances(study), title),
        "sweep_slices.png": slices_figure(results.table, parameters, results.metric, title),
    }
    paths = [folder / "trials.csv", folder / "best.yaml"]
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(folder / name)
            paths.append(folder / name)
    return paths


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the spread of scores that each parameter explains (fANOVA, Hutter et al., ICML 2014), largest first.

    Only of parameters that all trials have; none where trials are too few or do not differ.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    shares = set.intersection(*(set(trial.params) for trial in complete))
    varied = [key for key in sorted(shares) if len({trial.params[key] for trial in complete}) > 1]
    if not varied:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)


def result_items(results: Results, paths: list[Path]) -> Iterator[LogItem]:
    """What the sweep's run gets; the best score stands beside the corrected one."""
    selection, metric = results.selection, results.metric
    values = {f"trials/{state}": float(n) for state, n in results.table["state"].value_counts().items()}
    for name, interval in (("best", selection.scores[0]), ("corrected", selection.corrected)):
        bounds = {"": interval.point, "_lo": interval.low, "_hi": interval.high}
        values |= {f"{name}/{metric}{part}": value for part, value in bounds.items() if np.isfinite(value)}
    yield Metrics(values)
    yield from map(File, paths)
