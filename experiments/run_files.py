"""Files of a finished run: from its folder here, or from its artifacts in a store elsewhere."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from experiments.home import Home
from features.errors import SequelaError


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
