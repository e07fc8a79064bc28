"""The artifact: the folder that holds one fitted risk model and all that is needed to use it. Read and written here.

    manifest.json         what the model is, what it was trained on, how good it was, and one worked example
    weights.safetensors   every array of the encoder and the predictor

There is no pickle anywhere. Reading refuses a changed byte, an unknown format, a file that does not belong, and a model
that cannot reproduce its own example.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from features.drift import Reference
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.records import PatientRecord
from features.request import to_patients
from features.schema import Endpoint, Frozen
from training.models.custom import UnknownKindError
from training.models.mixture import PREDICTORS, predictor_of, rebuild
from training.models.risk_model import FittedRiskModel

FORMAT = "sequela-artifact/1"
WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"
EXAMPLE_TOLERANCE = 1e-6
NO_DIGEST = "0" * 64


class Example(Frozen):
    """One example request with its answer. The patient is made of training medians: nobody's values."""

    patient: PatientRecord
    times_days: tuple[float, ...]
    incidence: tuple[tuple[float, ...], ...]
    """(causes, times)."""


class TrainingCohort(Frozen):
    """Summary of the patients the model was fitted on."""

    title: str
    citation: str
    provenance: Literal["real", "simulated"]
    fingerprint: str
    """sha256 of the cohort folder."""
    n_patients: int
    events: dict[str, dict[str, int]]
    """For each landmark day, the number of patients by cause, ``censored`` first."""


class ModelBlock(Frozen):
    """The encoder's and the predictor's plain-JSON halves; their arrays are in the weights."""

    kind: str
    sizes: dict[str, Any]
    encoder: dict[str, Any]


class Manifest(Frozen):
    """manifest.json."""

    format: str = FORMAT
    name: str
    """Of the run: what people call the model."""
    endpoint: Endpoint
    model: ModelBlock
    features: tuple[str, ...]
    """Columns the model sees."""
    training_cohort: TrainingCohort
    metrics: dict[str, float | None]
    """Cross-validated, on patients not trained on; None where a metric is undefined."""
    run_id: str
    """MLflow run."""
    git_commit: str
    example: Example
    reference: Reference | None = None
    """How inputs and risks were spread in training; None in artifacts of before."""
    files: dict[str, str]
    """sha256 of every other file of the folder."""
    digest: str = NO_DIGEST
    """sha256 of this file as it stands, with 64 zeros here."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A risk model that was read, or is to be written, with its manifest."""

    manifest: Manifest
    model: FittedRiskModel


def model_block(model: FittedRiskModel) -> tuple[ModelBlock, dict[str, NDArray[Any]]]:
    """The two halves of a fitted model: plain JSON, and arrays by name."""
    encoder_sizes, encoder_arrays = model.encoder.state()
    sizes, arrays = model.predictor.state()
    named = {f"encoder/{name}": array for name, array in encoder_arrays.items()}
    named |= {f"predictor/{name}": array for name, array in arrays.items()}
    return ModelBlock(kind=model.predictor.kind, sizes=sizes, encoder=encoder_sizes), named


def write_artifact(folder: Path, manifest: Manifest, arrays: Mapping[str, NDArray[Any]]) -> Manifest:
    """Write the folder, whole or not at all; an artifact already there is replaced.

    Args:
        folder: Where.
        manifest: Its `files` are filled in here.
        arrays: From `model_block`.

    Returns:
        The manifest as written.

    Raises:
        SequelaError: Something that is no artifact stands in its place.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        msg = f"{folder}: exists and is no artifact; choose another folder or remove it first"
        raise SequelaError(msg)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, beside / WEIGHTS)
        manifest = manifest.model_copy(update={"files": {WEIGHTS: _sha256(beside / WEIGHTS)}})
        manifest = manifest.model_copy(update={"digest": NO_DIGEST})
        text = json.dumps(manifest.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"
        manifest = manifest.model_copy(update={"digest": hashlib.sha256(text.encode()).hexdigest()})
        (beside / MANIFEST).write_text(_with_digest(text, NO_DIGEST, manifest.digest), encoding="utf-8")
        (beside / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone; serving may be another user
        beside.chmod(0o755)
        _put(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def _with_digest(text: str, old: str, new: str) -> str:
    """The manifest's text with another digest."""
    return text.replace(f'"digest": "{old}"', f'"digest": "{new}"')


def _put(beside: Path, folder: Path) -> None:
    """Rename `beside` to `folder`; what stood there goes once its successor stands, and comes back if it does not."""
    if not folder.exists():
        beside.rename(folder)
        return
    former = Path(mkdtemp(prefix=f".{folder.name}-former-", dir=folder.parent)) / folder.name
    folder.rename(former)
    try:
        beside.rename(folder)
    except OSError:
        former.rename(folder)
        raise
    finally:
        shutil.rmtree(former.parent)


def read_artifact(folder: Path) -> Artifact:
    """Read and verify an artifact.

    Raises:
        SequelaError: The folder is no artifact, its format is unknown, a file is missing, foreign or changed, or the
            model does not reproduce its example.
    """
    manifest = _read_manifest(folder / MANIFEST)
    _verify_files(folder, manifest)
    try:
        arrays = load_file(folder / WEIGHTS)
        model = _rebuild(manifest, arrays)
        worst = example_error(model, manifest.example)
    except UnknownKindError as error:  # of a member
        msg = f"{folder}: {error}"
        raise SequelaError(msg) from error
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, SequelaError) as error:
        msg = f"{folder}: the manifest does not fit the weights ({type(error).__name__}); export the model again"
        raise SequelaError(msg) from error
    if not worst <= EXAMPLE_TOLERANCE:
        msg = (
            f"{folder}: the model misses its own example by {worst:.2g}; a model must reproduce it to "
            f"{EXAMPLE_TOLERANCE:g}. It was written by an incompatible version; export it again"
        )
        raise SequelaError(msg)
    return Artifact(manifest, model)


def answer_example(
    model: FittedRiskModel, patient: PatientRecord, times_days: tuple[float, ...]
) -> tuple[tuple[float, ...], ...]:
    """Incidences (causes, times) of one patient record."""
    patients = to_patients([patient], model.encoder)
    values = model.predict_incidence(patients, np.array(times_days)).values[0]
    return tuple(tuple(map(float, row)) for row in values)


def example_error(model: FittedRiskModel, example: Example) -> float:
    """Largest deviation of the model's answer from the example's."""
    answer = np.array(answer_example(model, example.patient, example.times_days))
    expected = np.array(example.incidence)
    if not answer.size or answer.shape != expected.shape:
        msg = "an example answers for every cause, at one time or more"
        raise ValueError(msg)
    return float(np.abs(answer - expected).max())


def _rebuild(manifest: Manifest, arrays: Mapping[str, NDArray[Any]]) -> FittedRiskModel:
    def part(prefix: str) -> dict[str, NDArray[Any]]:
        return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

    block = manifest.model
    encoder = PatientEncoder.from_state(block.encoder, part("encoder/"))
    predictor = rebuild(block.kind, block.sizes, part("predictor/"))
    return FittedRiskModel(encoder, predictor, manifest.endpoint.causes)


def _read_manifest(path: Path) -> Manifest:
    try:
        text = path.read_bytes().decode("utf-8")  # not read_text: it would mend line endings
        content = json.loads(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"{path.parent}: no {MANIFEST}; an artifact is a folder that `sequela train` wrote"
        raise SequelaError(msg) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, IsADirectoryError) as error:
        msg = f"{path}: not JSON; the artifact is damaged, copy it again"
        raise SequelaError(msg) from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        msg = f"{path}: format = {found}; this version reads {FORMAT}. Install a version of Sequela that knows it"
        raise SequelaError(msg)
    block = content.get("model")
    kind = block.get("kind") if isinstance(block, dict) else None
    _require_known(path, kind)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        msg = f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}; the manifest is damaged, copy it again"
        raise SequelaError(msg) from error
    if hashlib.sha256(_with_digest(text, manifest.digest, NO_DIGEST).encode()).hexdigest() != manifest.digest:
        msg = f"{path}: does not match its own digest; the file was changed, copy it again"
        raise SequelaError(msg)
    return manifest


def _require_known(path: Path, kind: object) -> None:
    if not isinstance(kind, str):
        msg = f"{path}: model.kind = {kind}; known are {', '.join(PREDICTORS)}. The manifest is damaged, copy it again"
        raise SequelaError(msg)
    try:
        predictor_of(kind)
    except UnknownKindError as error:
        msg = f"{path}: {error} Built in are {', '.join(PREDICTORS)}; or install a Sequela that knows it"
        raise SequelaError(msg) from error


def _verify_files(folder: Path, manifest: Manifest) -> None:
    """Refuse files that are absent, changed, or not named in the manifest."""
    present = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()} - {MANIFEST}
    for name in sorted(present - set(manifest.files)):
        msg = f"{folder / name}: not named in {MANIFEST}; an artifact holds nothing else. Remove it"
        raise SequelaError(msg)
    for name, digest in {WEIGHTS: "", **manifest.files}.items():
        if name not in present:
            msg = f"{folder / name}: missing; the artifact is damaged, copy it again"
            raise SequelaError(msg)
        if _sha256(folder / name) != digest:
            msg = f"{folder / name}: does not match its sha256 in {MANIFEST}; the file was changed, copy it again"
            raise SequelaError(msg)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
