"""Runs of an experiment, ranked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.tracking import PARENT
from features.errors import SequelaError


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Runs on the same patients and endpoint, best first."""

    endpoint: str
    cohort: str
    provenance: str
    cause: str
    """The cause ranked by: the event of interest."""
    table: pd.DataFrame
    """rank, run, model, run_id, seconds, and each metric with its interval."""


def leaderboards(client: MlflowClient, experiment: str, *, every_run: bool = False) -> list[Leaderboard]:
    """One leaderboard for each definition of an endpoint and cohort of an experiment: only those can be compared.

    Runs are ranked by the integrated Brier score of the event of interest from the first landmark.

    Args:
        client: The store.
        experiment: Its name.
        every_run: Also earlier runs of the same name.

    Raises:
        SequelaError: There is no such experiment, or no finished run in it.
    """
    found = client.get_experiment_by_name(experiment)
    if found is None:
        known = ", ".join(sorted(e.name for e in client.search_experiments())) or "none"
        msg = f"experiment {experiment}: no such experiment; there are: {known}"
        raise SequelaError(msg)
    runs = client.search_runs([found.experiment_id], "attributes.status = 'FINISHED'", max_results=5000)
    parents = [run for run in runs if PARENT not in run.data.tags and "sequela.endpoint" in run.data.tags]
    if not parents:
        msg = f"experiment {experiment}: no finished run; `sequela train RUN.yaml` makes one"
        raise SequelaError(msg)
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in sorted(parents, key=lambda r: -r.info.start_time):
        tags = run.data.tags
        key = (tags["sequela.endpoint"], tags.get("sequela.endpoint_digest", ""), tags["sequela.cohort"])
        group = groups.setdefault(key, [])
        if every_run or run.info.run_name not in {other.info.run_name for other in group}:
            group.append(run)
    return [_board(endpoint, runs) for (endpoint, _, _), runs in groups.items()]


def _board(endpoint: str, runs: list[Run]) -> Leaderboard:
    cause = runs[0].data.tags["sequela.cause"]
    table = pd.DataFrame([_row(run) for run in runs]).sort_values(f"ibs/{cause}", ignore_index=True)
    table.insert(0, "rank", table.index + 1)
    params, tags = runs[0].data.params, runs[0].data.tags
    return Leaderboard(endpoint, params["cohort"], tags["sequela.provenance"], cause, table)


def _row(run: Run) -> dict[str, object]:
    seconds = (run.info.end_time - run.info.start_time) / 1000
    model = run.data.tags["sequela.model"]
    about = {"run": run.info.run_name, "model": model, "run_id": run.info.run_id, "seconds": round(seconds, 1)}
    return about | dict(sorted(run.data.metrics.items()))


def write_csv(boards: list[Leaderboard], path: Path) -> None:
    """All leaderboards as one table, with endpoint and cohort in front."""
    parts = [board.table.assign(endpoint=board.endpoint, cohort=board.cohort) for board in boards]
    pd.concat(parts, ignore_index=True).to_csv(path, index=False)
