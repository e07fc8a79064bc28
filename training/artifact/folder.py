"""The artifact: the folder that holds one fitted risk model and all that is needed to use it. Read and written here.

    manifest.json         what the model is, what it was trained on, how good it was, and one worked example
    weights.safetensors   every array of encoder, predictor and novelty, and of what else there is

There is no pickle anywhere. Reading refuses a changed byte, an unknown format, a file that does not belong, and a model
that cannot reproduce its own example.

Names of arrays begin with ``encoder/``, ``predictor/``, or as `training.artifact.parts` says.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.novelty import Novelty
from features.records import PatientRecord
from features.request import to_patients
from training.artifact.manifest import (
    MANIFEST,
    WEIGHTS,
    Example,
    Manifest,
    ModelBlock,
    read_manifest,
    sealed,
    sha256_of,
)
from training.artifact.parts import (
    count_arrays,
    counts_error,
    named,
    novelty_arrays,
    part,
    rebuild_counts,
    rebuild_novelty,
    rebuild_states,
    state_arrays,
    states_error,
)
from training.models.custom import UnknownKindError
from training.models.expected_counts import ExpectedCounts
from training.models.mixture import PREDICTORS, predictor_of, rebuild
from training.models.risk_model import FittedRiskModel
from training.models.states import StateModel

EXAMPLE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Artifact:
    """A risk model that was read, or is to be written, with its manifest."""

    manifest: Manifest
    model: FittedRiskModel
    states: StateModel | None = None
    """Models of transitions between states, where the artifact has some."""
    novelty: Novelty | None = None
    """What tells how unlike the training patients someone is; None in artifacts of before."""
    counts: ExpectedCounts | None = None
    """What tells how many events to expect, where the artifact has it."""
    cell_novelty: Novelty | None = None
    """What tells how unlike theirs the cells of someone are, where a network looks at cells."""

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of them, by the name under which the weights hold them."""
        of_novelty = novelty_arrays(self.novelty, self.cell_novelty)
        return model_block(self.model)[1] | state_arrays(self.states) | of_novelty | count_arrays(self.counts)


def model_block(model: FittedRiskModel) -> tuple[ModelBlock, dict[str, NDArray[Any]]]:
    """The two halves of a fitted model: plain JSON, and arrays by name."""
    encoder_sizes, encoder_arrays = model.encoder.state()
    sizes, arrays = model.predictor.state()
    both = named("encoder/", encoder_arrays) | named("predictor/", arrays)
    return ModelBlock(kind=model.predictor.kind, sizes=sizes, encoder=encoder_sizes), both


def write_artifact(folder: Path, manifest: Manifest, arrays: Mapping[str, NDArray[Any]]) -> Manifest:
    """Write the folder, whole or not at all; an artifact already there is replaced.

    Args:
        folder: Where.
        manifest: Its `files` are filled in here.
        arrays: From `model_block`, and from `training.artifact.parts` those of what else there is.

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
        manifest = manifest.model_copy(update={"files": {WEIGHTS: sha256_of(beside / WEIGHTS)}})
        manifest, text = sealed(manifest)
        (beside / MANIFEST).write_text(text, encoding="utf-8")
        (beside / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone; serving may be another user
        beside.chmod(0o755)
        _put(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


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
    manifest = read_manifest(folder)
    _require_known(folder / MANIFEST, manifest.model.kind)
    try:
        arrays = load_file(folder / WEIGHTS)
        model = _rebuild(manifest, arrays)
        states = rebuild_states(manifest, arrays)
        novelty, cell_novelty = rebuild_novelty(manifest, arrays, model)
        counts = rebuild_counts(manifest, arrays, model)
        beside = states_error(model, states, manifest), counts_error(model, counts, manifest)
        worst = max(example_error(model, manifest.example), *beside)
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
    return Artifact(manifest, model, states, novelty, counts, cell_novelty)


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
    block = manifest.model
    encoder = PatientEncoder.from_state(block.encoder, part(arrays, "encoder/"))
    predictor = rebuild(block.kind, block.sizes, part(arrays, "predictor/"))
    return FittedRiskModel(encoder, predictor, manifest.endpoint.causes)


def _require_known(path: Path, kind: str) -> None:
    try:
        predictor_of(kind)
    except UnknownKindError as error:
        msg = f"{path}: {error} Built in are {', '.join(PREDICTORS)}; or install a Sequela that knows it"
        raise SequelaError(msg) from error
