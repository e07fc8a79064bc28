"""Runs that may be compared in pairs: the same patients, endpoint and splits, or a refusal that says what differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.config import RunConfig, load_run
from experiments.data import TrainingRows
from experiments.home import Home
from experiments.out_of_fold import OutOfFold
from experiments.run_files import recorded_rows, report_file, written_predictions
from experiments.store import find_run
from experiments.written_predictions import tested_together
from features.check import read_endpoint
from features.errors import SequelaError


@dataclass(frozen=True, slots=True)
class Place:
    """Where cohort and endpoint lie now, if they were moved since the runs."""

    cohort: Path | None = None
    endpoint: Path | None = None

    def of(self, config: RunConfig) -> RunConfig:
        """The same run with its cohort and endpoint where they lie now."""
        moved = {"cohort": self.cohort, "endpoint": self.endpoint}
        return config.model_copy(update={key: path.resolve() for key, path in moved.items() if path is not None})


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A finished run with its out-of-fold predictions."""

    name: str
    """Its name; with the beginning of its id where two of one name are compared."""
    run: Run
    config: RunConfig
    """Its cohort and endpoint are those of `Place`, where given."""
    predictions: OutOfFold
    """At the even grid of times."""


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """Runs on the same rows."""

    rows: TrainingRows
    """Without cells: outcomes are all that is asked of them."""
    runs: tuple[ComparedRun, ...]


def load_compared(
    client: MlflowClient, home: Home, references: Sequence[str], place: Place, endpoint: str | None = None
) -> ComparedRuns:
    """Find runs, refuse those that cannot be compared, and read their predictions.

    Predictions come from the run's folder here or, where it is not, from its artifacts in the store; outcomes from the
    cohort, whose fingerprint has to be that of the runs.

    Args:
        client: The store.
        home: The folders of runs made here.
        references: Names, ids or beginnings of ids, two or more.
        place: Where cohort and endpoint lie now.
        endpoint: Whose runs are meant, where runs of several have one name.

    Raises:
        SequelaError: A run is unfinished, named twice or incomplete, or patients, endpoint or splits differ.
    """
    runs = [find_run(client, reference, endpoint) for reference in references]
    _require_finished_and_different(runs)
    names = _names(runs)
    for key, what, remedy in IDENTITY:
        _require_same(names, [run.data.tags.get(key, "not known") for run in runs], what, remedy)
    configs = [place.of(load_run(report_file(client, home, run, "run.yaml"))) for run in runs]
    splits = [json.loads(report_file(client, home, run, "splits.json").read_text("utf-8")) for run in runs]
    _require_same_splits(names, configs, splits)
    rows = _rows(configs[0], runs[0], home)
    read = [
        ComparedRun(name, run, config, written_predictions(client, home, run, name, split, rows))
        for name, run, config, split in zip(names, runs, configs, splits, strict=True)
    ]
    _require_same_tested(read)
    return ComparedRuns(rows, tuple(read))


IDENTITY = (
    ("sequela.endpoint", "study different endpoints", "compare runs of one endpoint"),
    (
        "sequela.endpoint_digest",
        "study different definitions of one endpoint",
        "train one of them again with the other's endpoint YAML (--set endpoint=FILE)",
    ),
    (
        "sequela.cohort",
        "were trained on different patients",
        "train one of them again on the other's cohort (--set cohort=DIR)",
    ),
)
"""Tag, what is wrong where it differs, and the remedy."""


def _require_finished_and_different(runs: Sequence[Run]) -> None:
    for number, run in enumerate(runs):
        if run.info.status != "FINISHED":
            msg = f"run {run.info.run_name}: is {run.info.status}; only finished runs are compared (train --resume?)"
            raise SequelaError(msg)
        if run.info.run_id in {other.info.run_id for other in runs[:number]}:
            msg = f"run {run.info.run_name}: is named twice; name two different runs, by id where names are the same"
            raise SequelaError(msg)


def _names(runs: Sequence[Run]) -> list[str]:
    names = [str(run.info.run_name) for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.info.run_id[:8]})"
        for name, run in zip(names, runs, strict=True)
    ]


def _require_same(names: Sequence[str], values: Sequence[str], what: str, remedy: str) -> None:
    first = values[0]
    for name, value in zip(names[1:], values[1:], strict=True):
        if value != first:
            msg = f"runs {names[0]} and {name}: {what} ({first[:24]}, {value[:24]}), so no difference can be paired; "
            raise SequelaError(msg + remedy)


def _require_same_splits(
    names: Sequence[str], configs: Sequence[RunConfig], splits: Sequence[list[dict[str, Any]]]
) -> None:
    """The same patients were tested together, in every repeat."""
    first = tested_together(splits[0])
    for name, config, split in zip(names[1:], configs[1:], splits[1:], strict=True):
        if tested_together(split) != first:
            ours, theirs = _splitting(configs[0]), _splitting(config)
            why = f"{ours}; {theirs}" if ours != theirs else f"both {ours}, but by different versions of Sequela"
            msg = (
                f"runs {names[0]} and {name}: were cross-validated on different splits ({why}), so no difference can "
                "be paired; train one of them again with the seed and the validation of the other (--set seed=…)"
            )
            raise SequelaError(msg)


def _splitting(config: RunConfig) -> str:
    validation = config.validation
    column = f" by {validation.column}" if validation.column else ""
    return f"{validation.scheme}{column}, {validation.folds} folds × {validation.repeats}, seed {config.seed}"


def _rows(config: RunConfig, run: Run, home: Home) -> TrainingRows:
    """The rows of the runs.

    Raises:
        SequelaError: Cohort or endpoint are not what they were, or cannot be read.
    """
    if not config.endpoint.exists():
        msg = f"run {run.info.run_name}: its endpoint is no longer at {config.endpoint}; give its place with "
        raise SequelaError(msg + "--endpoint-file FILE")
    return recorded_rows(run, home, config.cohort, read_endpoint(config.endpoint))


def _require_same_tested(runs: Sequence[ComparedRun]) -> None:
    first = runs[0].predictions.tested
    for other in runs[1:]:
        n_different = int((other.predictions.tested != first).sum())
        if n_different:
            msg = (
                f"runs {runs[0].name} and {other.name}: {n_different} rows were predicted by one and not by the other, "
                "so no difference can be paired; train one of them again with the validation of the other"
            )
            raise SequelaError(msg)
