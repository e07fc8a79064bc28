"""manifest.json of an artifact: what it says, and that the folder is whole. Needs no PyTorch.

The model itself is read and written by `training.artifact`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from features.drift import Reference
from features.errors import SequelaError
from features.persistence import Persistence
from features.records import PatientRecord
from features.schema import Endpoint, Frozen

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


class StatesBlock(Frozen):
    """Of the models of transitions between states, whose arrays are in the weights below ``states/``.

    ``times_days`` (times,), ``beta`` (1 + refits, moves, features) and ``increments`` (1 + refits, moves, times), as
    `training.models.states.StateModel` has them, features being those of the encoder.
    """

    names: Annotated[tuple[str, ...], Field(min_length=2)]
    """Of the states: event-free first, then that of the event of interest, then what competes with it."""
    moves: tuple[tuple[int, int], ...]
    """From one to another, by their places in `names`: those that occurred in training."""
    landmark_day: float
    """From which everyone is followed: the endpoint's first."""
    followed_days: float | None
    """After it, the last day by which somebody's state is known; None: everyone's to the end."""
    n_patients: int
    """At risk at the landmark."""
    example: tuple[tuple[float, ...], ...]
    """(times, states): probability of being in each, of the patient of `Example` at its times."""


class NoveltyBlock(Frozen):
    """Of what tells how unlike the training patients someone is, whose arrays are in the weights below ``novelty/``.

    ``mean`` (features,), ``axes`` (axes, features), ``variance`` (axes,) and ``left_out`` (distances,), landmark by
    landmark, as `features.novelty.Novelty` has them, features being those of the encoder.
    """

    floor: Annotated[float, Field(gt=0)]
    """Shrunk variance across the axes."""
    landmark_days: Annotated[tuple[float, ...], Field(min_length=1)]
    """Of training, ascending."""
    n_patients: tuple[int, ...]
    """At each of them: so many distances there are."""


class Measured(Frozen):
    """An estimate with its 95 % interval over patients; ends are None where there is none."""

    point: float
    low: float | None = None
    high: float | None = None


class AlertsBlock(Frozen):
    """An alert rule of the risk, and what it did for patients whom the models that were asked had not seen.

    Alerts are raised at visits between the first and the last landmark where the risk comes to reach the threshold.
    What is known is of rules and models that were fitted on other folds; the threshold itself is of everyone.
    """

    provenance: Literal["real", "simulated"]
    """Of the patients."""
    horizon_days: float
    """Of the risk; for so long an alert is good."""
    threshold: float | None
    """Of the risk; None where none keeps to what is borne: nobody is alerted."""
    borne: float
    """Alerts a patient and month, at most, for which the threshold is the lowest."""
    per_patient_month: Measured | None
    """Alerts that were raised."""
    caught: Measured | None
    """Share of events before which, at most the horizon, an alert was raised; None where there was none to catch."""
    lead_days: Measured | None
    """Median, from the first such alert to the event; None where none was caught."""
    after_first_alert: Measured | None
    """Risk of the event within the horizon of a patient's first alert (Aalen–Johansen); None without alerts."""
    n_patients: int | None
    """Watched; None of 1 to 4 real ones, as the next."""
    n_events: int | None
    """That could be caught."""
    withheld: bool
    """Whether estimates are None since they would tell of 1 to 4 real patients."""

    def reached(self, risk: float) -> bool:
        """Whether a risk within the horizon is in alert."""
        return self.threshold is not None and risk >= self.threshold


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
    novelty: NoveltyBlock | None = None
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
