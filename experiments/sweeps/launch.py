"""One sweep from YAML to results: checked, begun or joined, worked on by one process or several, summed up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

from experiments.home import Home
from experiments.store import deliver_left, open_store
from experiments.sweeps.check import RowsOfRuns, check_sweep
from experiments.sweeps.config import Sweep
from experiments.sweeps.queue import begin_or_join
from experiments.sweeps.results import Results, gather, result_items, write_results
from experiments.sweeps.space import Space
from experiments.sweeps.storage import Storage
from experiments.sweeps.tracked import begin, join
from experiments.sweeps.worker import Worker, folder_of
from experiments.tracking import Tracker
from features.errors import SequelaError

Progress = Callable[[int, int], None]
STUDIES = "SEQUELA_STUDIES"
"""Environment variable: address of the database of studies."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a sweep leaves behind."""

    results: Results
    run_id: str
    folder: Path
    """trials.csv, best.yaml and the figures."""


def storage_of(home: Home, url: str | None, stale_after_seconds: int) -> Storage:
    """Where studies are kept: as asked, as `SEQUELA_STUDIES` says, or in a file of the store."""
    home.folder.mkdir(parents=True, exist_ok=True)
    url = url or os.environ.get(STUDIES) or f"sqlite:///{home.folder / 'studies.db'}"
    return Storage(url, stale_after_seconds)


def run_sweep(
    sweep: Sweep, home: Home, storage: Storage, *, workers: int, cells: Progress, trials: Progress
) -> Finished:
    """Carry out a sweep, or go on with it.

    Args:
        sweep: The sweep.
        home: The stores.
        storage: Where the study is kept; workers elsewhere that use the same one share the sweep.
        workers: Processes on this machine; 1: this one.
        cells: Told how many cells of how many were stored.
        trials: Told how many trials of how many are finished.

    Raises:
        SequelaError: Something in the space cannot be, the study is another sweep, or no trial could be completed.
    """
    rows = RowsOfRuns(home, cells)
    space = Space(sweep, folder_of(home, sweep) / "endpoints")
    identity = check_sweep(sweep, space, rows)
    open_store(home)  # a trial that is told later would have no parent
    deliver_left(home)
    n_trials = sweep.config.trials or len(space.grid())
    cohort = rows.scored(sweep.base)
    own: list[Tracker] = []

    def begun() -> str:
        own.append(begin(home, sweep, cohort, n_trials))
        return own[0].run_id

    parent = begin_or_join(storage.open(), sweep.config, identity, begun)
    tracker = own[0] if own else join(home, sweep, cohort, parent)
    with tracker.ends_truthfully() if tracker else nullcontext():
        worker = Worker.open(sweep, home, storage, parent)
        worker.rows = rows
        if workers == 1:
            worker.work(trials)
        else:
            _together(worker, storage, workers, trials)
        results = gather(worker)
        folder = folder_of(home, sweep)
        paths = write_results(results, worker.queue.study, folder)
        if tracker:
            tracker.log(result_items(results, paths))
    return Finished(results, parent, folder)


def show_sweep(sweep: Sweep, home: Home, storage: Storage) -> Results:
    """What a sweep has found so far.

    Raises:
        SequelaError: There is no such study, or no trial of it is complete.
    """
    return gather(Worker.open(sweep, home, storage, parent=""))


def _together(worker: Worker, storage: Storage, n_workers: int, progress: Progress) -> None:
    """Several processes on this machine; each is a worker like those on others, and may be killed."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // n_workers)))
    context = multiprocessing.get_context("spawn")
    arguments = (worker.sweep, worker.home, storage, worker.parent)
    processes = [context.Process(target=_process, args=arguments) for _ in range(n_workers)]
    for process in processes:
        process.start()
    try:
        while any(process.is_alive() for process in processes):
            progress(worker.queue.finished(), worker.queue.places)
            time.sleep(0.5)
    except BaseException:
        _stop(processes)
        raise
    finished = worker.queue.finished()
    progress(finished, worker.queue.places)
    if finished < worker.queue.places:
        msg = f"all workers ended with {finished} of {worker.queue.places} trials finished; the same command goes on"
        raise SequelaError(f"study {worker.sweep.config.name}: {msg}")


def _stop(processes: list[SpawnProcess]) -> None:
    """Ask them to give back their trials, and insist after 15 s."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(15)
        if process.is_alive():
            process.kill()
            process.join()


def _process(sweep: Sweep, home: Home, storage: Storage, parent: str) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its trial is given back, its run marked KILLED
    try:
        Worker.open(sweep, home, storage, parent).work()
    except SequelaError as error:
        sys.stderr.write(f"sequela: worker {os.getpid()}: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
