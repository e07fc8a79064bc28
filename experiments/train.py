"""One run: cohort → rows → cross-validation → scores → final fit → artifact, tracked and resumable."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from experiments.cli.output import stderr
from experiments.config import RunConfig
from experiments.count_records import COUNTS, CountFindings
from experiments.counted_rows import events_of_run
from experiments.courier import Courier, courier_here
from experiments.crossval import asks_models_again, cross_validate, folds_of, held_out_models
from experiments.data import TrainingRows, rows_of_run
from experiments.day_seen import day_seen_sentence
from experiments.final_fit import ARTIFACT, Beside, fit_final
from experiments.home import Home
from experiments.leaks import LEAKS, SourceSuspect, named, suspects_in, write_suspects
from experiments.log_items import (
    File,
    LogItem,
    Metrics,
    Model,
    Table,
    Tags,
    count_metrics,
    headline_metrics,
    run_description,
)
from experiments.optional_findings import write_finding
from experiments.out_of_fold import OutOfFold
from experiments.pipeline_test import pipeline_test
from experiments.progress import Progress
from experiments.reproduction.definition import write_definition
from experiments.reproduction.machine import machine_tags
from experiments.run_page import RunFacts, analyse, read_record, write_card
from experiments.run_report import Findings, write_report
from experiments.scoring import score, scores_table
from experiments.served_alerts import ALERTS, fit_alerts, horizon_of_alerts
from experiments.served_counts import find_counts
from experiments.served_states import histories_of_run
from experiments.temporal import follow_up_sentence
from experiments.thresholds import THRESHOLDS, settle_thresholds, with_decision
from experiments.tracking import RunFolder, Tracker, environment_tags
from experiments.ui_views import horizon_table, score_tags
from features.encoder import PatientEncoder
from features.errors import SequelaError
from training.config import custom_requirements
from training.evaluation.importance import HeldOutModel, SourceImportance, permutation_importance
from training.loops.processes import from_leader, wait
from training.models.risk_model import FittedRiskModel

PERMUTED = "permuted"
"""Beside the folds: those of the permutation test."""
SETTLING_SECONDS = 5.0
"""How long the courier of a killed run may still be at its folder."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run leaves behind."""

    run_id: str
    folder: Path
    """Report, predictions and artifact."""
    found: Findings
    waiting: int
    """Of what was logged, how many items MLflow does not have yet; 0 unless its store did not answer."""


def train(
    config: RunConfig,
    home: Home,
    progress: Progress,
    *,
    resume: bool = False,
    tags: Mapping[str, str] | None = None,
    courier: Courier | None = None,
) -> RunResult:
    """Carry out one run; where torchrun started several processes, the part of the leading one.

    Args:
        config: The resolved configuration.
        home: The stores.
        progress: Told how far it is.
        resume: Go on with the unfinished run of the same configuration and cohort.
        tags: Of a new run, beside those that every run has.
        courier: Delivers what the run logs; none: a thread of this process.

    Raises:
        SequelaError: The cohort or the configuration cannot be used, or there is nothing to resume.
    """
    courier = courier or courier_here(home)
    rows = rows_of_run(config, home, progress.cells)
    _refuse_early(rows, config)
    suspects = suspects_in(rows.patients, rows.outcomes, rows.endpoint, rows.cohort.card, config.features)
    _tell(suspects, rows, config)
    tracker = _resumed(home, config, rows, courier) if resume else _started(home, config, rows, courier)
    folder = tracker.folder
    with tracker.ends_truthfully():
        tracker.log([*run_description(config, rows), Tags({**machine_tags(config), **(tags or {})})])
        tracker.log(write_definition(folder, config))
        courier.deliver_left()
        from_leader(str(folder))
        wait()  # until the others have read what they need of it
        listeners = progress.folds, progress.trials, progress.epochs
        kept: dict[int, FittedRiskModel] | None = {} if asks_models_again(config) else None
        out_of_fold = cross_validate(rows, config, folder / "folds", tracker, *listeners, kept=kept)
        models = [] if kept is None else held_out_models(rows, config, folder / "folds", kept)
        settled = settle_thresholds(rows, out_of_fold, config)
        rows = replace(rows, endpoint=with_decision(rows.endpoint, settled))
        found = _findings(rows, out_of_fold, config, folder / "folds", models, progress)
        beside = Beside(settled, fit_alerts(rows, config, home, models), find_counts(rows, config, home))
        told = tracker.run_id, folder / ARTIFACT, progress
        fit_final(rows, config, home, out_of_fold, found.scores, *told, beside)
        write_report(rows, out_of_fold, found, config, folder / "report")
        write_finding(settled, folder / "report" / THRESHOLDS)
        write_finding(beside.alerts, folder / "report" / ALERTS)
        counts = None if beside.counts is None else beside.counts.found
        write_finding(counts, folder / "report" / COUNTS)
        write_suspects(suspects, folder / "report" / "leak_suspects.json")
        made = RunFacts(tracker.run_id, tracker.started, environment_tags())
        write_card(analyse(read_record(folder / "report", config, rows, made)), folder / "report")
        tracker.log([Tags({LEAKS: named(suspects)})])
        tracker.log(_result(rows, found, counts, config))
    return RunResult(tracker.run_id, tracker.folder, found, tracker.waiting)


def _refuse_early(rows: TrainingRows, config: RunConfig) -> None:
    """Say before anything is written what cannot be done: too few patients for folds, a misspelt feature, no states."""
    folds_of(rows, config)
    if config.states is not None:
        histories_of_run(rows.cohort, rows.endpoint)
    horizon_of_alerts(config, rows.endpoint)
    if config.counts is not None:
        events_of_run(rows.cohort, rows.endpoint)
    clinic_alone = config.features.model_copy(update={"cells": (), "inflamix": False})
    PatientEncoder.fit(rows.patients, rows.cohort.card, clinic_alone)


def _tell(suspects: Sequence[SourceSuspect], rows: TrainingRows, config: RunConfig) -> None:
    """What a researcher should know before he waits."""
    notes = [("leak suspect", str(suspect)) for suspect in suspects]
    notes += [
        ("validation", follow_up_sentence(rows, config)),
        ("events", day_seen_sentence(rows.outcomes, config.model)),
    ]
    for about, said in notes:
        if said:
            stderr.print(f"{about}: {said}", highlight=False, markup=False, soft_wrap=True)


def _findings(
    rows: TrainingRows,
    out_of_fold: OutOfFold,
    config: RunConfig,
    folds: Path,
    models: Sequence[HeldOutModel],
    progress: Progress,
) -> Findings:
    """Scores; importances and the permutation test where they are asked for."""
    importance: list[SourceImportance] = []
    if config.validation.importance:
        importance = permutation_importance(
            models,
            rows.patients,
            rows.outcomes,
            out_of_fold.times_days,
            rng=np.random.default_rng(config.seed),
            repeats=config.validation.importance,
            n_bootstrap=config.validation.bootstrap,
        )
    test = pipeline_test(rows, config, folds / PERMUTED, progress.permutations)
    return Findings(score(rows, out_of_fold, config), importance, test)


def _started(home: Home, config: RunConfig, rows: TrainingRows, courier: Courier) -> Tracker:
    """A new run, on disk and in MLflow."""
    identity = {"config": config.digest(), "cohort": rows.cohort.fingerprint}
    return Tracker.start(home, config.experiment, config.name, record=identity, courier=courier)


def _resumed(home: Home, config: RunConfig, rows: TrainingRows, courier: Courier) -> Tracker:
    """The latest unfinished run of the same configuration and cohort that no living process works on."""
    settled = time.monotonic() + SETTLING_SECONDS
    while True:
        patient = time.monotonic() < settled
        found = folders_of(home, config, rows.cohort.fingerprint)
        unfinished = [one for one in found if one.status != "finished"]
        for folder in unfinished[:1] if patient else unfinished:
            if folder.take():
                return Tracker.resume(home, folder, courier)
        if not unfinished or not patient:
            break
        time.sleep(0.1)
    msg = (
        f"--resume: no unfinished run of {config.name} with this configuration and cohort in {home.runs}"
        + (", but one that is still going on" if unfinished else "")
        + "; train without --resume, or restore the configuration it was started with"
    )
    raise SequelaError(msg)


def folders_of(home: Home, config: RunConfig, fingerprint: str) -> list[RunFolder]:
    """The runs made here of a configuration and cohort, the latest first."""
    identity = config.digest(), fingerprint
    found = [one for one in RunFolder.all_of(home) if one.identity == identity]
    return sorted(found, key=lambda one: float(one.record.get("started", 0)), reverse=True)


def _result(rows: TrainingRows, found: Findings, counts: CountFindings | None, config: RunConfig) -> Iterator[LogItem]:
    """What is known of a run once it is scored; figures stand at the root, where the compare page shows them."""
    yield Metrics(headline_metrics(found.scores))
    if found.pipeline is not None:
        yield Metrics({f"permutation_p/{rows.endpoint.causes[0]}": found.pipeline.p})
    if counts is not None:
        yield Metrics(count_metrics(counts))
    yield Tags(score_tags(found.scores))
    yield Table("by_horizon.json", horizon_table(found.scores))
    yield Table("scores.json", {str(name): list(column) for name, column in scores_table(found.scores).items()})
    yield File(Path("report"))
    own = [f"{name}=={version(name)}" for name in ("numpy", "pandas", "pydantic", "safetensors", "torch")]
    yield Model(Path(ARTIFACT), (*own, *custom_requirements(config.model)))
