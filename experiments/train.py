"""One run: cohort → rows → cross-validation → scores → final fit → artifact, tracked and resumable."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from experiments.config import RunConfig
from experiments.crossval import (
    OutOfFold,
    cross_validate,
    epochs_told,
    folds_of,
    held_out_models,
    tuned_model,
)
from experiments.data import TrainingRows, rows_of_run
from experiments.definition import write_definition
from experiments.example import example_patient
from experiments.home import RUN_FILE, Home
from experiments.log_items import File, LogItem, Metrics, Table, Tags, headline_metrics, run_description
from experiments.machine import machine_tags
from experiments.pipeline_test import pipeline_test
from experiments.run_report import Findings, write_report
from experiments.scoring import score, scores_table
from experiments.tracking import Tracker, experiment_id, git_state, open_store
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.outcomes import Outcomes
from training.artifact import Example, Manifest, TrainingCohort, answer_example, model_block, write_artifact
from training.config import custom_requirements
from training.evaluation.scores import Scores
from training.fit import fit_risk_model
from training.importance import SourceImportance, permutation_importance
from training.models.risk_model import FittedRiskModel
from training.processes import from_leader, wait

ARTIFACT = "artifact"
PERMUTED = "permuted"
"""Beside the folds: those of the permutation test."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run tells what it is doing; each is called with (done, of)."""

    cells: Callable[[int, int], None]
    folds: Callable[[int, int], None]
    trials: Callable[[int, int], None] | None = None
    """Where settings are tuned."""
    epochs: Callable[[int, int], None] | None = None
    """Of each fit of a network; how many there are at most."""
    permutations: Callable[[int, int], None] | None = None
    """Cross-validations of the permutation test."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run leaves behind."""

    run_id: str
    experiment_id: str
    folder: Path
    """Report, predictions and artifact."""
    found: Findings


def train(
    config: RunConfig, home: Home, progress: Progress, *, resume: bool = False, tags: Mapping[str, str] | None = None
) -> RunResult:
    """Carry out one run; where torchrun started several processes, the part of the leading one.

    Args:
        config: The resolved configuration.
        home: The stores.
        progress: Told how far it is.
        resume: Go on with the unfinished run of the same configuration and cohort.
        tags: Of a new run, beside those that every run has.

    Raises:
        SequelaError: The cohort or the configuration cannot be used, or there is nothing to resume.
    """
    rows = rows_of_run(config, home, progress.cells)
    folds_of(rows, config)  # too few patients for the folds, or a misspelt feature, is said before anything is written
    clinic_alone = config.features.model_copy(update={"cells": (), "inflamix": False})
    PatientEncoder.fit(rows.patients, rows.cohort.card, clinic_alone)
    client = open_store(home)
    began = _resumed(client, home, config, rows) if resume else _started(client, home, config, rows, tags or {})
    tracker, folder = began
    from_leader(str(folder))
    wait()  # until the others have read what they need of it
    with tracker.ends_truthfully(), _record_of(folder):
        told = progress.folds, progress.trials, progress.epochs
        kept: dict[int, FittedRiskModel] | None = {} if config.validation.importance else None
        out_of_fold = cross_validate(rows, config, folder / "folds", tracker, *told, kept=kept)
        found = _findings(rows, out_of_fold, config, folder / "folds", kept, progress)
        manifest = _fit_final(rows, config, found.scores, tracker.run_id, folder / ARTIFACT, progress)
        write_report(rows, out_of_fold, found, config, folder / "report")
        tracker.log(_result(rows, found, folder / "report"))
        _log_model(tracker.run_id, manifest, folder / ARTIFACT, custom_requirements(config.model))
    return RunResult(tracker.run_id, tracker.experiment_id, folder, found)


def _findings(
    rows: TrainingRows,
    out_of_fold: OutOfFold,
    config: RunConfig,
    folds: Path,
    kept: dict[int, FittedRiskModel] | None,
    progress: Progress,
) -> Findings:
    """Scores; importances and the permutation test where they are asked for."""
    importance: list[SourceImportance] = []
    if kept is not None:
        importance = permutation_importance(
            held_out_models(rows, config, folds, kept),
            rows.patients,
            rows.outcomes,
            out_of_fold.times_days,
            rng=np.random.default_rng(config.seed),
            repeats=config.validation.importance,
            n_bootstrap=config.validation.bootstrap,
        )
    test = pipeline_test(rows, config, folds / PERMUTED, progress.permutations)
    return Findings(score(rows, out_of_fold, config), importance, test)


def _started(
    client: MlflowClient, home: Home, config: RunConfig, rows: TrainingRows, tags: Mapping[str, str]
) -> tuple[Tracker, Path]:
    """A new run, in MLflow and on disk."""
    tracker = Tracker.start(client, experiment_id(client, home, config.experiment), config.name)
    folder = home.runs / tracker.run_id
    folder.mkdir(parents=True)
    identity = {"run_id": tracker.run_id, "config": config.digest(), "cohort": rows.cohort.fingerprint}
    _mark(folder, **identity, status="running", started=time.time())
    tracker.log([*run_description(config, rows), Tags({**machine_tags(config), **tags})])
    tracker.log(write_definition(folder, config))
    return tracker, folder


def _resumed(client: MlflowClient, home: Home, config: RunConfig, rows: TrainingRows) -> tuple[Tracker, Path]:
    """The latest unfinished run of the same configuration and cohort."""
    records = [json.loads(path.read_text("utf-8")) for path in home.runs.glob(f"*/{RUN_FILE}")]
    same = [
        record
        for record in records
        if record["status"] != "finished"
        and (record["config"], record["cohort"]) == (config.digest(), rows.cohort.fingerprint)
    ]
    if not same:
        msg = (
            f"--resume: no unfinished run of {config.name} with this configuration and cohort in {home.runs}; "
            "train without --resume, or restore the configuration it was started with"
        )
        raise SequelaError(msg)
    record = max(same, key=lambda r: r["started"])
    return Tracker.resume(client, record["run_id"]), home.runs / record["run_id"]


@contextmanager
def _record_of(folder: Path) -> Iterator[None]:
    """Write into run.json how the block ends; a killed process leaves it ``running``."""
    _mark(folder, status="running")
    try:
        yield
    except BaseException:
        _mark(folder, status="failed")
        raise
    _mark(folder, status="finished")


def _mark(folder: Path, **values: str | float) -> None:
    """Update run.json, beside and then renamed."""
    path = folder / RUN_FILE
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(known | values, indent=1), "utf-8")
    beside.rename(path)


def _fit_final(
    rows: TrainingRows,
    config: RunConfig,
    scores: Mapping[float, Scores],
    run_id: str,
    folder: Path,
    progress: Progress,
) -> Manifest:
    """Fit on all rows and write the artifact."""
    model = fit_on_everyone(rows, config, folder.parent / "folds", progress)
    block, arrays = model_block(model)
    patient = example_patient(model.encoder, rows.endpoint.landmark_days[0])
    times = rows.endpoint.horizons_days
    card = rows.cohort.card
    metrics = headline_metrics(scores)
    manifest = Manifest(
        name=config.name,
        endpoint=rows.endpoint,
        model=block,
        features=model.encoder.feature_names,
        training_cohort=TrainingCohort(
            title=card.title,
            citation=card.citation,
            provenance=card.provenance,
            fingerprint=rows.cohort.fingerprint,
            n_patients=len(set(rows.patients.patient_id)),
            events={f"{day:g}": outcomes.counts() for day, outcomes in _by_landmark(rows)},
        ),
        metrics=dict(metrics),
        run_id=run_id,
        git_commit=git_state()[0],
        example=Example(patient=patient, times_days=times, incidence=answer_example(model, patient, times)),
        files={},
    )
    return write_artifact(folder, manifest, arrays)


def fit_on_everyone(rows: TrainingRows, config: RunConfig, folds: Path, progress: Progress) -> FittedRiskModel:
    """Choose the settings and fit on all rows; how far it is, is kept beside the folds."""
    everyone = np.arange(len(rows.patients))
    chosen = tuned_model(rows, everyone, config, config.seed, folds / "final.csv", progress.trials)
    return fit_risk_model(
        rows.patients,
        rows.outcomes,
        rows.cohort.card,
        config.features,
        chosen,
        config.trainer,
        seed=config.seed,
        listener=epochs_told(chosen, progress.epochs),
        checkpoint=folds / "final.ckpt",
        companions=rows.companions,
    )


def _by_landmark(rows: TrainingRows) -> Iterator[tuple[float, Outcomes]]:
    for day in rows.endpoint.landmark_days:
        yield day, rows.outcomes.take(np.flatnonzero(rows.patients.landmark_day == day))


def _result(rows: TrainingRows, found: Findings, report: Path) -> Iterator[LogItem]:
    """What is known of a run once it is scored; figures stand at the root, where the compare page shows them."""
    yield Metrics(headline_metrics(found.scores))
    if found.pipeline is not None:
        yield Metrics({f"permutation_p/{rows.endpoint.causes[0]}": found.pipeline.p})
    table = scores_table(found.scores)
    yield Table("scores.json", {str(name): list(column) for name, column in table.items()})
    for path in sorted(report.iterdir()):
        yield File(path)


def _log_model(run_id: str, manifest: Manifest, artifact: Path, more_requirements: Sequence[str] = ()) -> None:
    """Log the artifact as a LoggedModel, from code, loadable with pickle forbidden."""
    code = Path(__file__).parent
    example = pd.DataFrame({"patient": [manifest.example.patient.model_dump_json()]})
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, f"{cause}@{days:g}")
        for cause in manifest.endpoint.causes
        for days in manifest.endpoint.horizons_days
    ]
    with mlflow.start_run(run_id=run_id, log_system_metrics=False):
        mlflow.pyfunc.log_model(
            name=manifest.endpoint.name,
            python_model=str(code / "logged_model.py"),
            artifacts={"artifact": str(artifact)},
            code_paths=[str(code.parent / package) for package in ("features", "training")],
            signature=ModelSignature(Schema([ColSpec(DataType.string, "patient")]), Schema(outputs)),
            input_example=example,
            pip_requirements=[
                *(f"{name}=={version(name)}" for name in ("numpy", "pandas", "pydantic", "safetensors", "torch")),
                *more_requirements,
            ],
            model_type=manifest.model.kind,
            metadata={"provenance": manifest.training_cohort.provenance, "format": manifest.format},
        )
