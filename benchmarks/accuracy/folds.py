"""Every fold of every table under every model: in parallel, each kept on disk as it ends, so that a run goes on."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.accuracy import models, peers
from benchmarks.accuracy.models import OURS, POOLED
from benchmarks.accuracy.peers import AVERAGES, PEERS, SURVIVAL_BOOST_ROWS
from benchmarks.accuracy.tables import BenchmarkTable, table

MEANS = {**AVERAGES, **POOLED}
"""Models that are the mean of others' predictions: nothing of their own is fitted."""


@dataclass(frozen=True, slots=True)
class Job:
    """One fit: a model on one fold of one table."""

    table: str
    model: str
    fold: int
    repeats: int
    data: Path
    kept: Path
    """Where the predictions go: incidences of the test rows, and the seconds they took."""


def jobs_of(name: str, model: str, data: Path, cache: Path, repeats: int) -> list[Job]:
    """The fits of a model on a table; none of a mean, and none where it takes too long (see `SURVIVAL_BOOST_ROWS`)."""
    if model in MEANS:
        return []
    rows = len(table(name, data).rows.patients)
    if model == "hazardous SurvivalBoost" and rows > SURVIVAL_BOOST_ROWS:
        return []
    print_of = models.fingerprint(OURS[model]) if model in OURS else peers.fingerprint(model)
    folder = cache / name / hashlib.sha256(f"{model} {print_of}".encode()).hexdigest()[:20]
    n_folds = len(table(name, data).folds(repeats))
    return [Job(name, model, fold, repeats, data, folder / f"{fold:03d}.npz") for fold in range(n_folds)]


def fit(job: Job) -> None:
    """Fit and predict one fold, unless it is kept already."""
    if job.kept.exists():
        return
    subject = table(job.table, job.data)
    fold = subject.folds(job.repeats)[job.fold]
    start = time.perf_counter()
    if job.model in OURS:
        values = models.predict(OURS[job.model], subject.rows, fold, subject.times_days)
    else:
        values = peers.predict(PEERS[job.model], subject.rows, fold, subject.times_days)
    seconds = time.perf_counter() - start
    job.kept.parent.mkdir(parents=True, exist_ok=True)
    beside = job.kept.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(beside, values=values.astype(np.float32), seconds=seconds)
    beside.rename(job.kept)


def run(jobs: Sequence[Job], workers: int) -> None:
    """Carry out what is not kept yet, cheap models first, one thread a worker."""
    missing = [job for job in jobs if not job.kept.exists()]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar, _pool(workers) as pool:
        task = bar.add_task("fits", total=len(missing))
        for done in as_completed([pool.submit(fit, job) for job in missing]):
            done.result()
            bar.advance(task)


def _pool(workers: int) -> ProcessPoolExecutor:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # the workers are the parallelism
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def predictions(subject: BenchmarkTable, model: str, jobs: Sequence[Job]) -> tuple[NDArray[np.float64], float] | None:
    """Out-of-fold incidences (repeats, rows, causes, times) and seconds a fit; None if the model was not run here."""
    if model in MEANS:
        members = [predictions(subject, member, jobs) for member in MEANS[model]]
        if any(member is None for member in members):
            return None
        held = [member for member in members if member is not None]
        return np.mean([values for values, _ in held], axis=0), sum(seconds for _, seconds in held)
    own = [job for job in jobs if (job.table, job.model) == (subject.name, model)]
    if not own:
        return None
    n_causes = len(subject.rows.outcomes.causes)
    folds = subject.folds(own[0].repeats)
    result = np.full((own[0].repeats, len(subject.rows.patients), n_causes, len(subject.times_days)), np.nan)
    seconds = []
    for job in own:
        with np.load(job.kept) as kept:
            result[folds[job.fold].repeat, folds[job.fold].test] = kept["values"]
            seconds.append(float(kept["seconds"]))
    return result, float(np.mean(seconds))
