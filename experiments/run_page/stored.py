"""From the name of a run to its record: where its files are, and whether the cohort is still the one it saw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.config import RunConfig, load_run
from experiments.data import TrainingRows, load_rows
from experiments.definition import RUN_YAML
from experiments.home import Home
from experiments.log_items import endpoint_digest
from experiments.run_files import report_file
from experiments.run_page.record import RunFacts, RunRecord, read_record
from features.check import read_endpoint
from features.errors import SequelaError


def stored_record(client: MlflowClient, home: Home, run: Run, cohort: Path | None = None) -> RunRecord:
    """Read a finished run again, from its folder here or from its artifacts in MLflow.

    Args:
        client: Of the store.
        home: The stores.
        run: The parent run.
        cohort: Where the cohort folder is now; None: where the run found it.

    Raises:
        SequelaError: The run left no report, or cohort or endpoint are gone or are not the ones it was trained on.
    """
    facts = RunFacts(run.info.run_id, run.info.start_time / 1000, run.data.tags)
    with _report_folder(client, home, run) as report:
        config = load_run(report_file(client, home, run, RUN_YAML))
        return read_record(report, config, _rows(config, run, home, cohort or config.cohort), facts)


@contextmanager
def _report_folder(client: MlflowClient, home: Home, run: Run) -> Iterator[Path]:
    here = home.runs / run.info.run_id / "report"
    if (here / "splits.json").exists():
        yield here
        return
    if "splits.json" not in {file.path for file in client.list_artifacts(run.info.run_id)}:
        msg = f"run {run.info.run_name}: it left no report; only finished runs have one. Go on with --resume"
        raise SequelaError(msg)
    with TemporaryDirectory() as folder:
        for file in client.list_artifacts(run.info.run_id):
            if not file.is_dir and not file.path.endswith(".png"):
                client.download_artifacts(run.info.run_id, file.path, folder)
        yield Path(folder)


def _rows(config: RunConfig, run: Run, home: Home, cohort: Path) -> TrainingRows:
    """The rows of the run without their cells, which nothing here looks at."""
    endpoint = read_endpoint(config.endpoint)
    if endpoint_digest(endpoint) != run.data.tags.get("sequela.endpoint_digest"):
        msg = f"{config.endpoint}: changed since run {run.info.run_name} was trained; restore it, or train again"
        raise SequelaError(msg)
    if not cohort.is_dir():
        msg = f"{cohort}: the cohort of run {run.info.run_name} is not there; say where it is with --cohort DIR"
        raise SequelaError(msg)
    clinic = config.features.model_copy(update={"cells": ()})
    rows = load_rows(cohort, endpoint, clinic, home.features)
    if rows.cohort.fingerprint != run.data.tags.get("sequela.cohort"):
        msg = (
            f"{cohort}: not the cohort of run {run.info.run_name}, or changed since (its fingerprint differs); "
            "give the cohort it was trained on with --cohort DIR, or train again"
        )
        raise SequelaError(msg)
    return rows
