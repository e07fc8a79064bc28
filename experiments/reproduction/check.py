"""Whether two runs have the same numbers: splits, out-of-fold predictions, metrics, and the models themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from experiments.promotion.registry import run_artifact
from features.errors import SequelaError
from training.artifact.folder import Artifact, answer_example, model_block, read_artifact
from training.artifact.parts import count_arrays, state_arrays

PREDICTIONS, SPLITS = "oof_predictions.parquet", "splits.json"
OF_TIME = ("seconds", "system/")
"""Metrics that tell how long something took, and are never the same."""
ADDED_LATER = ("added_ipa",)
"""Metrics that other commands give a finished run; whoever makes it again has not asked for them."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One kind of number of two runs."""

    what: str
    numbers: int
    difference: float
    """The largest absolute one; infinite where there is no counterpart."""
    where: str = ""
    """Of which number the difference is the largest."""


@dataclass(frozen=True, slots=True)
class RunFiles:
    """What is compared of one run."""

    splits: list[dict[str, Any]]
    predictions: pd.DataFrame
    metrics: Mapping[str, float]
    artifact: Artifact


def run_files(client: MlflowClient, run: Run, folder: Path) -> RunFiles:
    """Fetch from the store, wherever that is, what is compared of a run.

    Raises:
        SequelaError: A file is not in the store, or the artifact is refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits, predictions = (download(client, run, name, folder) for name in (SPLITS, PREDICTIONS))
    others = OF_TIME + ADDED_LATER
    metrics = {name: value for name, value in run.data.metrics.items() if not name.startswith(others)}
    artifact = read_artifact(run_artifact(client, run))
    return RunFiles(json.loads(splits.read_text("utf-8")), pd.read_parquet(predictions), metrics, artifact)


def download(client: MlflowClient, run: Run, name: str, folder: Path) -> Path:
    """A file or folder that was logged with a run.

    Raises:
        SequelaError: It was not, or is gone.
    """
    try:
        return Path(client.download_artifacts(run.info.run_id, name, str(folder)))
    except (MlflowException, OSError) as error:
        msg = f"run {run.info.run_name}: {name} is not in the store; nothing can be reproduced without it"
        raise SequelaError(msg) from error


def compare(then: RunFiles, now: RunFiles) -> Iterator[Compared]:
    """Every kind of number of two runs, in the order in which they depend on one another."""
    same_splits = then.splits == now.splits
    yield Compared("splits", len(then.splits), 0.0 if same_splits else inf, "" if same_splits else "test patients")
    yield _predictions(then.predictions, now.predictions)
    yield _named("metrics", then.metrics, now.metrics)
    held = (then.artifact, now.artifact)
    weights = [model_block(one.model)[1] | state_arrays(one.states) | count_arrays(one.counts) for one in held]
    yield _named("the model's weights", *weights)  # without novelty, whose axes have no sign
    example = then.artifact.manifest.example
    answers = [answer_example(one.artifact.model, example.patient, example.times_days) for one in (then, now)]
    yield _named("the model's example", {"incidence": answers[0]}, {"incidence": answers[1]})


def _predictions(then: pd.DataFrame, now: pd.DataFrame) -> Compared:
    keys = [name for name in then.columns if name != "incidence"]
    if list(then.columns) != list(now.columns) or not then[keys].equals(now[keys]):
        return Compared("out-of-fold predictions", len(then), inf, "other patients, causes or times")
    difference = _largest(then["incidence"].to_numpy(), now["incidence"].to_numpy())
    return Compared("out-of-fold predictions", len(then), difference)


def _named(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Compared:
    """Arrays or numbers by name; one that is missing on either side differs infinitely."""
    differences = {
        name: _largest(np.asarray(then[name]), np.asarray(now[name])) if name in then and name in now else inf
        for name in {**then, **now}
    }
    where = max(differences, key=lambda name: differences[name], default="")
    worst = differences.get(where, 0.0)
    return Compared(what, sum(np.size(value) for value in then.values()), worst, where if worst else "")


def _largest(then: NDArray[Any], now: NDArray[Any]) -> float:
    """Largest absolute difference of two arrays, infinite where shapes, texts or missing values differ."""
    if then.shape != now.shape or then.dtype.kind != now.dtype.kind:
        return inf
    if then.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(then, now) else inf
    first, second = then.astype(np.float64), now.astype(np.float64)
    equal = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):  # of infinities that are equal
        apart = np.where(equal, 0.0, np.abs(first - second))
    return float(np.nan_to_num(apart, nan=inf).max(initial=0.0))
