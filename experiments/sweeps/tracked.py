"""A sweep in MLflow: one run, and one nested run a trial; folds are steps of a trial's metric, not runs."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient
from optuna.trial import FrozenTrial

from experiments.data import TrainingRows
from experiments.log_items import LogItem, Params, Tags, flatten
from experiments.sweeps.config import Parameter, Sweep
from experiments.tracking import PARENT, Tracker, environment_tags

HONESTY = (
    "The best of many trials is chosen on the folds that score it, and so looks better than it is. `corrected/…` is "
    "its score where those who choose do not score (BBC-CV, Tsamardinos et al. 2018)."
)


def begin(client: MlflowClient, experiment: str, sweep: Sweep, rows: TrainingRows, n_trials: int) -> str:
    """The sweep's run: what is searched, and how; returns its id."""
    tracker = Tracker.start(client, experiment, sweep.config.name)
    tracker.log(_description(sweep, rows, n_trials))
    return tracker.run_id


def _description(sweep: Sweep, rows: TrainingRows, n_trials: int) -> list[LogItem]:
    config, card = sweep.config, rows.cohort.card
    objective = config.objective
    cause = objective.cause or rows.endpoint.event.name
    searched = ", ".join(f"`{key}`" for key in config.space)
    note = f"**Sweep** of {n_trials} trials over {searched}, by {objective.metric} of {cause}, on {card.title} "
    note += f"({card.provenance} patients).\n\n{HONESTY}\n\n{card.citation}"
    how = config.model_dump(mode="json", include={"objective", "sampler", "pruner", "seed"}, exclude_none=True)
    space = {f"space.{key}": _said(parameter) for key, parameter in config.space.items()}
    tags = {"sequela.sweep": config.name, "sequela.provenance": card.provenance, "sequela.cause": cause}
    return [Params(flatten(how) | space | {"trials": str(n_trials)}), Tags(tags | {"mlflow.note.content": note})]


def _said(parameter: Parameter) -> str:
    """A parameter on one line: its range, or the names of its choices."""
    said = f"{parameter.low} to {parameter.high}" if parameter.choices is None else ", ".join(parameter.choices)
    when = "; ".join(f"{key} {' or '.join(names)}" for key, names in parameter.when.items())
    return said + (" (log)" if parameter.log else "") + (f" where {when}" if when else "")


def begin_trial(
    client: MlflowClient, parent: str, sweep: Sweep, place: int, chosen: Mapping[str, str | int | float]
) -> Tracker:
    """A trial's run, nested in the sweep's, with what was chosen for it."""
    tags = {PARENT: parent, "sequela.sweep": sweep.config.name, "sequela.trial": str(place)}
    experiment = client.get_run(parent).info.experiment_id
    run = client.create_run(experiment, run_name=f"trial {place}", tags=environment_tags() | tags)
    tracker = Tracker(client, run)
    tracker.log([Params({f"sweep.{key}": str(value) for key, value in chosen.items()})])
    return tracker


def end_lost(client: MlflowClient, trial: FrozenTrial) -> None:
    """The run of a trial whose worker was killed and could not say so."""
    run_id = trial.user_attrs.get("run_id")
    if run_id is not None:
        client.set_tag(run_id, "sequela.failure", "its worker ended without a word; the trial is done again")
        client.set_terminated(run_id, "KILLED")
