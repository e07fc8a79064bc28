"""The registry: which model serves, and where it lies.

A registered model per endpoint; its versions carry the aliases ``champion`` (serves), ``previous`` (what a rollback
puts back) and ``challenger`` (would replace it). `experiments.promotion.promote` moves them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from experiments.home import Home
from experiments.promotion.history import CHALLENGER, CHAMPION, by_alias
from experiments.store import every
from features.errors import SequelaError
from serving.champions import ExportedChampion, write_champion

TAG = "sequela.bento"
"""Model-version tag that names the copy in BentoML's store."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that serves."""

    endpoint: str
    version: str
    run_id: str
    bento_tag: str


def find_champion(client: MlflowClient, endpoint: str | None = None) -> Champion:
    """The champion of an endpoint, or the only champion there is.

    Raises:
        SequelaError: There is none, or several and no endpoint was named.
    """
    names = [endpoint] if endpoint else [model.name for model in every(client.search_registered_models)]
    found = [(name, version) for name in names if (version := champion_version(client, name)) is not None]
    if not found:
        msg = f"no champion{f' of {endpoint}' if endpoint else ''}; promote one with `sequela promote RUN`"
        raise SequelaError(msg)
    if len(found) > 1:
        msg = f"there are champions of {', '.join(name for name, _ in found)}; name one with --endpoint"
        raise SequelaError(msg)
    name, version = found[0]
    return Champion(name, str(version.version), str(version.run_id), version.tags[TAG])


def challenger_tag(client: MlflowClient, endpoint: str) -> str:
    """Where the challenger of an endpoint lies in BentoML's store.

    Raises:
        SequelaError: There is none.
    """
    version = by_alias(client, endpoint, CHALLENGER)
    if version is None or TAG not in version.tags:  # the alias may have been set by hand
        msg = f"no challenger of {endpoint} in the serving store; make one with `sequela promote RUN --challenger`"
        raise SequelaError(msg)
    return str(version.tags[TAG])


def champion_version(client: MlflowClient, endpoint: str) -> ModelVersion | None:
    """The model version with the alias ``champion``."""
    return by_alias(client, endpoint, CHAMPION)


def model_artifact(model_id: str) -> Path:
    """Local folder of the artifact in a LoggedModel, downloaded where the store is remote."""
    model = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}"))
    former = model / "artifacts" / "artifact"  # where models lay that were logged before they had a loader module
    return former if former.exists() else model / "data" / "artifact"


def run_artifact(client: MlflowClient, run: Run) -> Path:
    """Local folder of a run's artifact.

    Raises:
        SequelaError: The run has no model.
    """
    return model_artifact(_logged_model(client, run))


def _logged_model(client: MlflowClient, run: Run) -> str:
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    ready = [model for model in models if model.status == LoggedModelStatus.READY]
    if not ready:  # others were cut short by a kill
        msg = f"run {run.info.run_name}: has no model; train it again, or give MLflow what waits: sequela sync"
        raise SequelaError(msg)
    return str(ready[0].model_id)


def registered_version(client: MlflowClient, run: Run) -> ModelVersion:
    """The run's version in the registry, created when there is none.

    Raises:
        SequelaError: The run has no model.
    """
    endpoint, model_id, run_id = run.data.tags["sequela.endpoint"], _logged_model(client, run), run.info.run_id
    try:
        client.create_registered_model(endpoint)
    except MlflowException:  # it is there already
        for version in client.search_model_versions(f"name = '{endpoint}' and run_id = '{run_id}'"):
            return version
    return client.create_model_version(endpoint, f"models:/{model_id}", run_id=run_id, model_id=model_id)


def export_champion(home: Home, champion: Champion) -> Path:
    """Say which model serves, where running services look."""
    path = home.exported_champion(champion.endpoint)
    exported = ExportedChampion(
        endpoint=champion.endpoint,
        tag=champion.bento_tag,
        version=champion.version,
        run_id=champion.run_id,
        exported_at=datetime.now(UTC),
    )
    write_champion(path, exported)
    return path


def publish_version(client: MlflowClient, home: Home, endpoint: str, version: ModelVersion, artifact: Path) -> str:
    """Copy a version's artifact to BentoML's store, once it was verified; the copy's tag is kept on the version.

    Raises:
        SequelaError: The artifact is refused, or the store cannot be written.
    """
    os.environ["BENTOML_HOME"] = str(home.bentoml)
    home.bentoml.mkdir(parents=True, exist_ok=True)
    from serving.store import publish  # BentoML reads BENTOML_HOME when imported

    tag = publish(artifact, {"run_id": str(version.run_id), "registry_version": str(version.version)})
    client.set_model_version_tag(endpoint, version.version, TAG, tag)
    return tag
