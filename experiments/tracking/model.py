"""A run's artifact as a LoggedModel, from code, loadable with pickle forbidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.utils import requirements_utils

from training.artifact import read_artifact

CODE = Path(__file__).resolve().parents[2]


def log_model(client: MlflowClient, run_id: str, artifact: Path, requirements: Sequence[str]) -> None:
    """Log an artifact as the run's model, with signature and example, unless the run has one.

    Args:
        client: The store.
        run_id: The run that fitted it; its dataset and metrics are linked to the model.
        artifact: The artifact folder.
        requirements: Of pip.
    """
    run = client.get_run(run_id)
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    for model in models:
        if model.status == LoggedModelStatus.READY:
            return
        if model.status == LoggedModelStatus.PENDING:  # a killed process did not finish it, and the run names it
            client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
    manifest = read_artifact(artifact).manifest
    example = pd.DataFrame({"patient": [manifest.example.patient.model_dump_json()]})
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, f"{cause}@{days:g}")
        for cause in manifest.endpoint.causes
        for days in manifest.endpoint.horizons_days
    ]
    with _installed_unread(), mlflow.start_run(run_id=run_id, log_system_metrics=False):
        mlflow.pyfunc.log_model(
            name=manifest.endpoint.name,
            python_model=str(CODE / "experiments" / "logged_model.py"),
            artifacts={"artifact": str(artifact)},
            code_paths=[str(CODE / package) for package in ("features", "training")],
            signature=ModelSignature(Schema([ColSpec(DataType.string, "patient")]), Schema(outputs)),
            input_example=example,
            pip_requirements=list(requirements),
            model_type=manifest.model.kind,
            metadata={"provenance": manifest.training_cohort.provenance, "format": manifest.format},
        )


@contextmanager
def _installed_unread() -> Iterator[None]:
    """MLflow reads what is installed, half a second, to compare requirements with it; ours were made from it."""
    name = "_MODULES_TO_PACKAGES"  # should it be called otherwise some day, half a second is lost
    before = getattr(requirements_utils, name, None)
    setattr(requirements_utils, name, before or {})
    try:
        yield
    finally:
        setattr(requirements_utils, name, before)
