"""A run's artifact as a LoggedModel, from code, loadable with pickle forbidden."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import save_model
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.utils import requirements_utils

from training.artifact.manifest import Manifest, read_manifest

CODE = Path(__file__).resolve().parents[2]
LOADER = CODE / "experiments" / "logged_model.py"
ORIGIN = ("mlflow.user", "mlflow.source.")
"""Tags of a run that its model has as well: who made it, from which commit."""


def log_model(
    client: MlflowClient, run_id: str, artifact: Path, requirements: Sequence[str], metrics: Iterable[Metric]
) -> None:
    """Log an artifact as the run's model, with signature and example, unless the run has one.

    Args:
        client: The store.
        run_id: The run that fitted it.
        artifact: The artifact folder.
        requirements: Of pip.
        metrics: The run's, which are the model's as well.
    """
    run = client.get_run(run_id)
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    for model in models:
        if model.status == LoggedModelStatus.READY:
            return
        if model.status == LoggedModelStatus.PENDING:  # a killed process did not finish it, and the run names it
            client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
    manifest = read_manifest(artifact)
    # MLflow's own `log_model` does this through a global active run, and reads each metric's history.
    tags = {name: value for name, value in run.data.tags.items() if name.startswith(ORIGIN)}
    name, about = manifest.endpoint.name, {"params": run.data.params, "tags": tags}
    model = client.create_logged_model(run.info.experiment_id, name, run_id, model_type=manifest.model.kind, **about)
    try:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        taken = [metric for metric in metrics if metric.key in run.data.metrics]  # MLflow may have refused others
        client.log_batch(run_id, [_of_model(metric, model.model_id) for metric in taken])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            card = Model(model.artifact_location, run_id, model_uuid=model.model_id, model_id=model.model_id)
            _save(path, card, manifest, artifact, requirements)
            for compiled in path.rglob("__pycache__"):
                shutil.rmtree(compiled)
            client.log_model_artifacts(model.model_id, str(path))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    except Exception:
        with suppress(Exception):  # the store may be what fails; the next delivery says so, too
            client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise


def _of_model(metric: Metric, model_id: str) -> Metric:
    return Metric(metric.key, metric.value, metric.timestamp, metric.step, model_id)


def _save(path: Path, card: Model, manifest: Manifest, artifact: Path, requirements: Sequence[str]) -> None:
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, f"{cause}@{days:g}")
        for cause in manifest.endpoint.causes
        for days in manifest.endpoint.horizons_days
    ]
    with _installed_unread():
        save_model(
            path,
            loader_module=LOADER.stem,
            data_path=str(artifact),
            code_paths=[str(LOADER), *(str(CODE / package) for package in ("features", "training"))],
            signature=ModelSignature(Schema([ColSpec(DataType.string, "patient")]), Schema(outputs)),
            input_example=pd.DataFrame({"patient": [manifest.example.patient.model_dump_json()]}),
            pip_requirements=list(requirements),
            metadata={"provenance": manifest.training_cohort.provenance, "format": manifest.format},
            mlflow_model=card,
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
