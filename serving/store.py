"""Artifacts into BentoML's model store, and out of it. The store lies under ``BENTOML_HOME``."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import bentoml
from bentoml._internal.models import ModelStore  # the only way to name the store of a call
from bentoml.exceptions import BentoMLException, NotFound
from pydantic import ValidationError

from features.errors import SequelaError
from training.artifact.folder import read_artifact
from training.artifact.manifest import MANIFEST, Manifest

MODEL_NAME = "sequela"
FOLDER = "artifact"
"""Folder of the artifact within a stored model, beside BentoML's own model.yaml."""


def publish(artifact: Path, labels: Mapping[str, str]) -> str:
    """Put an artifact into the model store of ``BENTOML_HOME``, once it has proven sound.

    The version is made of the label ``registry_version`` (where there is one), the beginning of the MLflow run id and
    the beginning of the manifest's sha256, which covers every file: ``sequela:v3-0f1e2d3c-9a8b7c6d``. The same artifact
    published again keeps its tag, and a stored copy that was damaged is replaced.

    Args:
        artifact: The artifact's folder.
        labels: Kept with the stored model, beside ``run_id``, ``endpoint`` and ``provenance``.

    Returns:
        The tag, to be served by ``SEQUELA_MODEL``.

    Raises:
        SequelaError: The artifact is not sound, or the store cannot be written.
    """
    manifest = read_artifact(artifact).manifest
    digest = hashlib.sha256((artifact / MANIFEST).read_bytes()).hexdigest()
    registry = labels.get("registry_version")
    parts = (f"v{registry}" if registry else "", manifest.run_id[:8], digest[:8])
    tag = f"{MODEL_NAME}:{'-'.join(_slug(part) for part in parts if _slug(part))}"
    if _sound(tag):
        return tag
    known = {"run_id": manifest.run_id, "endpoint": manifest.endpoint.name}
    known["provenance"] = manifest.training_cohort.provenance
    try:
        with bentoml.models.create(tag, labels=known | dict(labels), _model_store=_store()) as model:
            shutil.copytree(artifact, model.path_of(FOLDER))
    except (BentoMLException, OSError) as error:
        msg = f"{tag}: cannot be written to the model store ({error}); check BENTOML_HOME and its free space"
        raise SequelaError(msg) from error
    return tag


def remove(tag: str) -> None:
    """Take a model out of the store.

    Raises:
        SequelaError: It is not there.
    """
    try:
        bentoml.models.delete(tag, _model_store=_store())
    except (BentoMLException, ValueError) as error:
        msg = f"{tag}: not in the model store; `bentoml models list` shows what is"
        raise SequelaError(msg) from error


def stored_manifest(home: Path, tag: str) -> Manifest:
    """What a model in the store of a BENTOML_HOME is.

    Raises:
        SequelaError: It is not there, or damaged.
    """
    name, _, version = tag.partition(":")
    try:
        return Manifest.model_validate_json((home / "models" / name / version / FOLDER / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        msg = f"{tag}: not in the model store {home}, or damaged; `bentoml models list` shows what is"
        raise SequelaError(msg) from error


def artifact_folder(model: bentoml.Model) -> Path:
    """Where the artifact of a stored model lies."""
    return Path(model.path_of(FOLDER))


def _store() -> ModelStore:
    """The store under the present BENTOML_HOME; BentoML's own reads that variable once in a process, and keeps it."""
    home = os.environ.get("BENTOML_HOME")
    if not home:
        msg = "BENTOML_HOME is not set; point it at the folder that holds the served models"
        raise SequelaError(msg)
    models = Path(home).expanduser() / "models"
    models.mkdir(parents=True, exist_ok=True)
    return ModelStore(models)


def _sound(tag: str) -> bool:
    """Whether the store holds the model, whole; what is damaged is taken out."""
    try:
        read_artifact(artifact_folder(bentoml.models.get(tag, _model_store=_store())))
    except NotFound:
        return False
    except (BentoMLException, SequelaError):
        remove(tag)
        return False
    return True


def _slug(text: str) -> str:
    """What BentoML takes as a version: lower-case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
