"""A sweep in MLflow: one run, and one nested run a trial; folds are steps of a trial's metric, not runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from optuna.trial import FrozenTrial

from experiments.data import TrainingRows
from experiments.home import Home
from experiments.log_items import LogItem, Params, Started, Tags, flatten
from experiments.store import PARENT, SWEEP, deliver_left, open_store
from experiments.sweeps.config import Parameter, Sweep
from experiments.tracking import RunFolder, Tracker
from experiments.tracking.events import RUN, Event
from experiments.tracking.outbox import Delivered
from features.errors import SequelaError

FAILURE = "sequela.failure"
"""Tag: why a trial failed, without anything of a patient."""
HONESTY = (
    "The best of many trials is chosen on the folds that score it, and so looks better than it is. `corrected/…` is "
    "its score where those who choose do not score (BBC-CV, Tsamardinos et al. 2018)."
)


def begin(home: Home, sweep: Sweep, rows: TrainingRows, n_trials: int) -> Tracker:
    """The sweep's run: what is searched, and how."""
    tracker = Tracker.start(home, sweep.base.experiment, sweep.config.name, record=_record(sweep, rows))
    tracker.log(_description(sweep, rows, n_trials))
    return tracker


def join(home: Home, sweep: Sweep, rows: TrainingRows, run_id: str) -> Tracker | None:
    """Go on with the sweep's run, which was begun here or elsewhere; None where another process here is at it.

    Raises:
        SequelaError: The store does not know the run.
    """
    try:
        run = open_store(home).get_run(run_id)
    except MlflowException as error:
        msg = f"study {sweep.config.name}: its run {run_id} is not in this MLflow store; set SEQUELA_HOME or"
        raise SequelaError(
            f"{msg} MLFLOW_TRACKING_URI to the one it was begun with, or begin another --name"
        ) from error
    folder = RunFolder(home.runs / run_id)
    if folder.path.exists():
        return Tracker.resume(home, folder) if folder.take() else None
    folder = RunFolder.create(home, experiment=sweep.base.experiment, started=time.time(), **_record(sweep, rows))
    folder.outbox.acknowledge(Delivered(runs={RUN: run_id}))
    folder.outbox.append([Event(RUN, run.info.start_time, Started(sweep.base.experiment, sweep.config.name))])
    return Tracker.resume(home, folder)


def _record(sweep: Sweep, rows: TrainingRows) -> dict[str, str]:
    """By what the folder of a run is recognised; no configuration of `sequela train` has this one."""
    return {"config": f"sweep {sweep.config.name}", "cohort": rows.cohort.fingerprint}


def _description(sweep: Sweep, rows: TrainingRows, n_trials: int) -> list[LogItem]:
    config, card = sweep.config, rows.cohort.card
    objective = config.objective
    cause = objective.cause or rows.endpoint.event.name
    searched = ", ".join(f"`{key}`" for key in config.space)
    note = f"**Sweep** of {n_trials} trials over {searched}, by {objective.metric} of {cause}, on {card.title} "
    note += f"({card.provenance} patients).\n\n{HONESTY}\n\n{card.citation}"
    how = config.model_dump(mode="json", include={"objective", "sampler", "pruner", "seed"}, exclude_none=True)
    space = {f"space.{key}": _said(parameter) for key, parameter in config.space.items()}
    tags = {SWEEP: config.name, "sequela.provenance": card.provenance, "sequela.cause": cause}
    return [Params(flatten(how) | space | {"trials": str(n_trials)}), Tags(tags | {"mlflow.note.content": note})]


def _said(parameter: Parameter) -> str:
    """A parameter on one line: its range, or the names of its choices."""
    said = f"{parameter.low} to {parameter.high}" if parameter.choices is None else ", ".join(parameter.choices)
    when = "; ".join(f"{key} {' or '.join(names)}" for key, names in parameter.when.items())
    return said + (" (log)" if parameter.log else "") + (f" where {when}" if when else "")


def begin_trial(
    home: Home, parent: str, sweep: Sweep, place: int, chosen: Mapping[str, str | int | float], rows: TrainingRows
) -> Tracker:
    """A trial's run, nested in the sweep's, with what was chosen for it."""
    tracker = Tracker.start(home, sweep.base.experiment, f"trial {place}", record=_record(sweep, rows))
    tags = {PARENT: parent, SWEEP: sweep.config.name, "sequela.trial": str(place)}
    tracker.log([Tags(tags), Params({f"sweep.{key}": str(value) for key, value in chosen.items()})])
    return tracker


def end_lost(client: MlflowClient, home: Home, trial: FrozenTrial) -> None:
    """The run of a trial that was taken from its worker, most likely because that was killed."""
    deliver_left(home)
    run_id = trial.user_attrs.get("run_id")
    with suppress(MlflowException):  # one that never reached the store needs no end
        if run_id is not None:
            client.set_tag(run_id, FAILURE, "its worker was not heard of any more; the trial is done again")
            client.set_terminated(run_id, "KILLED")
