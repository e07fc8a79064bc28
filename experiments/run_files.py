"""A finished run, read again: its files and predictions, here or from a store elsewhere, and its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from experiments.data import TrainingRows, load_rows
from experiments.home import Home
from experiments.log_items import endpoint_digest
from experiments.out_of_fold import OutOfFold, even_grid
from experiments.written_predictions import predicted_over_rows
from features.config import FeatureConfig
from features.errors import SequelaError
from features.schema import Endpoint


def report_file(client: MlflowClient, home: Home, run: Run, name: str) -> Path:
    """A file of a run's report, or what it was made from: here, or downloaded from the store.

    Raises:
        SequelaError: It is in neither.
    """
    folder = home.runs / str(run.info.run_id)
    for local in (folder / "report" / name, folder / name):
        if local.is_file():
            return local
    try:
        return Path(str(client.download_artifacts(run.info.run_id, name)))
    except (MlflowException, OSError) as error:
        msg = f"run {run.info.run_name}: {name} is neither in {folder} nor among its artifacts; train it again"
        raise SequelaError(msg) from error


def written_predictions(
    client: MlflowClient, home: Home, run: Run, name: str, split: list[dict[str, Any]], rows: TrainingRows
) -> OutOfFold:
    """The written predictions of a run, from its folder here or from the store.

    Raises:
        SequelaError: They are not there, or not those of the rows, the causes or the times.
    """
    table = pd.read_parquet(report_file(client, home, run, "oof_predictions.parquet"))
    return OutOfFold((), even_grid(rows.endpoint), *predicted_over_rows(table, split, rows, name))


def recorded_rows(run: Run, home: Home, cohort: Path, endpoint: Endpoint) -> TrainingRows:
    """The rows a run was trained on, without their cells, if cohort and endpoint are still what they were.

    Args:
        run: The parent run.
        home: The stores.
        cohort: Where the cohort is now.
        endpoint: The run's.

    Raises:
        SequelaError: They are not, or cannot be read.
    """
    if not cohort.is_dir():
        msg = f"run {run.info.run_name}: its cohort is no longer at {cohort}; say where it is with --cohort DIR"
        raise SequelaError(msg)
    if endpoint_digest(endpoint) != run.data.tags.get("sequela.endpoint_digest"):
        msg = (
            f"endpoint {endpoint.name}: is not the definition that run {run.info.run_name} was trained for; restore "
            "its YAML, or train again"
        )
        raise SequelaError(msg)
    rows = load_rows(cohort, endpoint, FeatureConfig(cells=()), home.features)
    if rows.cohort.fingerprint != run.data.tags["sequela.cohort"]:
        now, then = rows.cohort.fingerprint[:12], run.data.tags["sequela.cohort"][:12]
        msg = (
            f"{cohort}: is not the cohort that run {run.info.run_name} was trained on, or was changed since "
            f"(fingerprint {now}, then {then}); restore it, or say where a copy is with --cohort DIR"
        )
        raise SequelaError(msg)
    return rows
