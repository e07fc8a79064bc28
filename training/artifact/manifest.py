"""manifest.json of an artifact: what it says, and that the folder is whole. Needs no PyTorch.

The model itself is read and written by `training.artifact.folder`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from features.drift import Reference
from features.errors import SequelaError
from features.persistence import Persistence
from features.records import PatientRecord
from features.schema import Endpoint, Frozen
from training.artifact.blocks import AlertsBlock, CountsBlock, NoveltyBlock, StatesBlock

FORMAT = "sequela-artifact/1"
WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"
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


class ThresholdBenefit(Frozen):
    """What acting from a threshold of risk on was worth, on patients not trained on."""

    landmark_day: float
    threshold: float
    """Of a tier of the endpoint."""
    flagged: float
    """Share of patients at or above it."""
    gain: tuple[float, float, float] | None
    """Net benefit less the better of acting on all and on nobody, in true positives a patient: point, and ends of its
    95 % interval over patients. None where those at or above the threshold were not followed to the horizon."""
    at_once: int = 1
    """Thresholds at which the interval holds at once: those among which this one was searched."""


class TierThreshold(Frozen):
    """How the risk from which a tier begins came."""

    tier: str
    threshold: float
    how: Literal["given", "chosen", "not_shown"]
    """With the endpoint; by net benefit, within a range; or as the least of a range, in which no threshold was shown
    to be of use."""
    accepted: tuple[float, float] | None = None
    """The range: the least and the most that the endpoint says a clinician would accept."""
    gain: tuple[float, float, float] | None = None
    """As `ThresholdBenefit.gain`, of all landmarks, where all or nobody is chosen at each."""
    at_once: int = 1
    """Thresholds at which the interval of `gain` holds at once: all that were searched."""


class RiskGroup(Frozen):
    """Patients not trained on, of similar predicted risk, and what became of them."""

    above: float
    """Their predicted risks lie above this; 0 in the first group, which has those of 0 too."""
    up_to: float
    """And up to this; 1 in the last group."""
    n_patients: int
    predicted: float
    """Mean predicted risk."""
    observed: float
    """Aalen–Johansen estimate within the group."""
    low: float | None
    high: float | None
    """95 % interval of the observed risk; None where nobody or everybody had the event."""


class RiskGroups(Frozen):
    """Calibration at one landmark and horizon: observed against predicted risk of the event of interest."""

    landmark_day: float
    horizon_days: float
    groups: tuple[RiskGroup, ...]
    """Of ascending risk; each holds at least ten patients."""


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
    persistence: dict[str, Persistence] = Field(default_factory=dict)
    """By measured variable that patients have several values of around the landmarks: their common course, and how
    long a value stays what it was beside it."""
    decision: tuple[ThresholdBenefit, ...] = ()
    """Of the tiers of the endpoint, where it has some."""
    thresholds: tuple[TierThreshold, ...] = ()
    """Of the same tiers; empty in artifacts of before, whose thresholds were given."""
    calibration: tuple[RiskGroups, ...] = ()
    """Cross-validated, by landmark and horizon; empty in artifacts of before, and of too few patients."""
    states: StatesBlock | None = None
    """Where the run asked for `states`; None in artifacts of before."""
    alerts: AlertsBlock | None = None
    """Where the run asked for `alerts`; None in artifacts of before."""
    counts: CountsBlock | None = None
    """Where the run asked for `counts`; None in artifacts of before."""
    novelty: NoveltyBlock | None = None
    cell_novelty: NoveltyBlock | None = None
    """None in artifacts of before."""
    files: dict[str, str]
    """sha256 of every other file of the folder."""
    digest: str = NO_DIGEST
    """sha256 of this file as it stands, with 64 zeros here."""

    @field_validator("endpoint")
    @classmethod
    def _settled(cls, endpoint: Endpoint) -> Endpoint:
        if endpoint.decision is not None and not endpoint.decision.settled:
            msg = "from_risk of a tier must be a number in an artifact: a run settles ranges"
            raise ValueError(msg)
        return endpoint


def sealed(manifest: Manifest) -> tuple[Manifest, str]:
    """A manifest with its own digest, and the text to write."""
    text = json.dumps(manifest.model_dump(mode="json") | {"digest": NO_DIGEST}, indent=1, allow_nan=False) + "\n"
    digest = _digest_of(text, NO_DIGEST)
    return manifest.model_copy(update={"digest": digest}), _with_digest(text, NO_DIGEST, digest)


def read_manifest(folder: Path) -> Manifest:
    """Read an artifact's manifest, and verify that the folder is what it says.

    Raises:
        SequelaError: The folder is no artifact, its format is unknown, or a file is missing, foreign or changed.
    """
    manifest = _read(folder / MANIFEST)
    _verify_files(folder, manifest)
    return manifest


def _read(path: Path) -> Manifest:
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
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        msg = f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}; the manifest is damaged, copy it again"
        raise SequelaError(msg) from error
    if _digest_of(text, manifest.digest) != manifest.digest:
        msg = f"{path}: does not match its own digest; the file was changed, copy it again"
        raise SequelaError(msg)
    return manifest


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
        if sha256_of(folder / name) != digest:
            msg = f"{folder / name}: does not match its sha256 in {MANIFEST}; the file was changed, copy it again"
            raise SequelaError(msg)


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(text: str, digest: str) -> str:
    """Of a manifest's text in which `digest` stands for its own."""
    return hashlib.sha256(_with_digest(text, digest, NO_DIGEST).encode()).hexdigest()


def _with_digest(text: str, old: str, new: str) -> str:
    return text.replace(f'"digest": "{old}"', f'"digest": "{new}"')
