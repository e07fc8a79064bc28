"""The registry: which model serves, which one served before.

A registered model per endpoint; its versions carry the aliases ``champion`` and ``previous``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from experiments.home import Home
from features.errors import SequelaError

CHAMPION, PREVIOUS = "champion", "previous"
TAG = "sequela.bento"
"""Model-version tag that names the copy in BentoML's store."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that serves."""

    endpoint: str
    version: str
    run_id: str
    bento_tag: str


def promote(client: MlflowClient, home: Home, run: Run) -> Champion:
    """Make a run's model the champion of its endpoint; the one before is kept as ``previous``.

    The aliases move only after the model was read, verified and copied to the serving store.

    Raises:
        SequelaError: The run is unfinished or has no model, or its artifact is refused.
    """
    if run.info.status != "FINISHED":
        msg = f"run {run.info.run_name} is {run.info.status}; only a finished run can be promoted (train --resume?)"
        raise SequelaError(msg)
    model_id, endpoint = _logged_model(client, run), run.data.tags["sequela.endpoint"]
    before = champion_version(client, endpoint)
    version = _registered(client, endpoint, model_id, run.info.run_id)
    tag = _publish(home, model_artifact(model_id), run.info.run_id, version.version)
    client.set_model_version_tag(endpoint, version.version, TAG, tag)
    if before is not None and before.version != version.version:
        client.set_registered_model_alias(endpoint, PREVIOUS, before.version)
    client.set_registered_model_alias(endpoint, CHAMPION, version.version)
    return Champion(endpoint, str(version.version), run.info.run_id, tag)


def rollback(client: MlflowClient, home: Home, endpoint: str) -> Champion:
    """Put the previous champion back; the present one becomes ``previous``.

    Raises:
        SequelaError: There is no previous champion.
    """
    now = champion_version(client, endpoint)
    before = _by_alias(client, endpoint, PREVIOUS)
    if now is None or before is None:
        msg = f"endpoint {endpoint}: no previous champion to go back to; promote another run first"
        raise SequelaError(msg)
    run = client.get_run(str(before.run_id))
    tag = _publish(home, run_artifact(client, run), run.info.run_id, before.version)
    client.set_model_version_tag(endpoint, before.version, TAG, tag)
    client.set_registered_model_alias(endpoint, PREVIOUS, now.version)
    client.set_registered_model_alias(endpoint, CHAMPION, before.version)
    return Champion(endpoint, str(before.version), run.info.run_id, tag)


def find_champion(client: MlflowClient, endpoint: str | None = None) -> Champion:
    """The champion of an endpoint, or the only champion there is.

    Raises:
        SequelaError: There is none, or several and no endpoint was named.
    """
    names = [endpoint] if endpoint else [model.name for model in client.search_registered_models()]
    found = [(name, version) for name in names if (version := champion_version(client, name)) is not None]
    if not found:
        msg = f"no champion{f' of {endpoint}' if endpoint else ''}; promote one with `sequela promote RUN`"
        raise SequelaError(msg)
    if len(found) > 1:
        msg = f"there are champions of {', '.join(name for name, _ in found)}; name one with --endpoint"
        raise SequelaError(msg)
    name, version = found[0]
    return Champion(name, str(version.version), str(version.run_id), version.tags[TAG])


def champion_version(client: MlflowClient, endpoint: str) -> ModelVersion | None:
    """The model version with the alias ``champion``."""
    return _by_alias(client, endpoint, CHAMPION)


def model_artifact(model_id: str) -> Path:
    """Local folder of the artifact in a LoggedModel, downloaded where the store is remote."""
    return Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}")) / "artifacts" / "artifact"


def run_artifact(client: MlflowClient, run: Run) -> Path:
    """Local folder of a run's artifact.

    Raises:
        SequelaError: The run has no model.
    """
    return model_artifact(_logged_model(client, run))


def _by_alias(client: MlflowClient, endpoint: str, alias: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(endpoint, alias)
    except MlflowException:
        return None


def _logged_model(client: MlflowClient, run: Run) -> str:
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        msg = f"run {run.info.run_name}: has no model; train it again"
        raise SequelaError(msg)
    return str(outputs[-1].model_id)


def _registered(client: MlflowClient, endpoint: str, model_id: str, run_id: str) -> ModelVersion:
    """The run's version in the registry, created when there is none."""
    try:
        client.create_registered_model(endpoint)
    except MlflowException:  # it is there already
        for version in client.search_model_versions(f"name = '{endpoint}'"):
            if version.run_id == run_id:
                return version
    return client.create_model_version(endpoint, f"models:/{model_id}", run_id=run_id, model_id=model_id)


def _publish(home: Home, artifact: Path, run_id: str, version: str) -> str:
    """Copy the verified artifact to BentoML's store."""
    os.environ["BENTOML_HOME"] = str(home.bentoml)
    home.bentoml.mkdir(parents=True, exist_ok=True)
    from serving.store import publish  # BentoML reads BENTOML_HOME when imported

    return publish(artifact, {"run_id": run_id, "registry_version": str(version)})
