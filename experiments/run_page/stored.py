"""From the name of a run to its record: where its files are, and whether the cohort is still the one it saw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.config import load_run
from experiments.home import Home
from experiments.reproduction.definition import RUN_YAML
from experiments.run_files import recorded_rows, report_file
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
        rows = recorded_rows(run, home, cohort or config.cohort, read_endpoint(config.endpoint))
        return read_record(report, config, rows, facts)


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
