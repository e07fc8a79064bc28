"""What training tells about one run and its folds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from optuna import TrialPruned

from experiments.courier import Courier, courier_here
from experiments.home import Home
from experiments.log_items import Ended, LogItem, Metrics, Params, Started, Status
from experiments.tracking.environment import environment_tags
from experiments.tracking.events import RUN, Event, params_of
from experiments.tracking.run_folder import RunFolder
from features.errors import SequelaError
from training.splits import Fold


class Tracker:
    """One parent run and its children: what is told is kept in the run's folder, and delivered from there."""

    def __init__(self, folder: RunFolder, courier: Courier) -> None:
        """`folder` is locked by this process."""
        self._folder, self._courier = folder, courier
        self._params: dict[str, str] = params_of(folder.outbox.events())
        self._fold_began = 0.0

    @classmethod
    def start(
        cls,
        home: Home,
        experiment: str,
        name: str,
        *,
        record: Mapping[str, str] | None = None,
        courier: Courier | None = None,
    ) -> Tracker:
        """Begin a new run.

        Args:
            home: The stores.
            experiment: The run's experiment.
            name: What people call the run.
            record: What the run is recognised by when it is resumed.
            courier: Who delivers what is logged; none: a thread of this process.

        Raises:
            SequelaError: The tracking store is wrongly configured; nothing is left behind. One that does not answer now
                is told to stderr, and gets everything later.
        """
        folder = RunFolder.create(home, experiment=experiment, started=time.time(), **(record or {}))
        try:
            return cls(folder, courier or courier_here(home))._begin(Started(experiment, name, environment_tags()))
        except SequelaError:
            folder.release()
            shutil.rmtree(folder.path)
            raise

    @classmethod
    def resume(cls, home: Home, folder: RunFolder, courier: Courier | None = None) -> Tracker:
        """Go on with a run that was killed or failed, whose folder this process has locked.

        Raises:
            SequelaError: The tracking store is wrongly configured.
        """
        began = next(e.item for e in folder.outbox.events() if e.run == RUN and isinstance(e.item, Started))
        folder.mark(status="running")
        try:
            return cls(folder, courier or courier_here(home))._begin(began)
        except SequelaError:
            folder.end_open_runs("FAILED", _now())
            folder.release()
            raise

    def _begin(self, item: Started) -> Tracker:
        self.log([item])
        try:
            self._courier.begin(self._folder)
        except KeyboardInterrupt:  # while MLflow is met for the first time, which may take seconds
            self._end("KILLED")
            raise
        return self

    @property
    def run_id(self) -> str:
        """MLflow's id, or one of our own while the store has not answered."""
        return self._folder.path.name

    @property
    def experiment_id(self) -> str | None:
        """MLflow's id of the experiment, where the store has answered."""
        return self._folder.outbox.delivered().experiment

    @property
    def folder(self) -> Path:
        """The run's folder; it may be another one when the run has ended."""
        return self._folder.path

    @property
    def waiting(self) -> int:
        """Events that MLflow does not have yet."""
        return self._folder.outbox.waiting()

    @property
    def started(self) -> float:
        """When the run was first started, in seconds since 1970."""
        return float(self._folder.record["started"])

    def log(self, items: Iterable[LogItem], run: str = RUN, *, safely: bool = True) -> None:
        """Log items, for the run itself unless a child is named."""
        now = _now()
        events = [Event(run, now, item) for item in items]
        if run == RUN:
            self._params |= params_of(events)
        self._folder.outbox.append(events, safely=safely)

    def fold_started(self, fold: Fold) -> None:
        """Open the fold's child run, or the one that a killed process left behind."""
        name = _name(fold)
        experiment = str(self._folder.record["experiment"])
        params = Params(dict(self._params))  # filters in the UI lose children without them
        self.log([Started(experiment, name, {"fold": str(fold.number)}), params], name)
        self._fold_began = time.monotonic()

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        """Log the losses of an epoch."""
        losses = Metrics({"loss/train": loss, "loss/out_of_bag": out_of_bag_loss}, epoch)
        self.log([losses], _name(fold), safely=False)

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        """Close the fold's child run."""
        seconds = time.monotonic() - self._fold_began
        metrics = Metrics({"seconds": seconds, "test_rows": float(len(incidence))})
        self.log([metrics, Ended("FINISHED")], _name(fold))

    @contextmanager
    def ends_truthfully(self) -> Iterator[None]:
        """Say how the block ends: finished, failed, pruned, or killed by a signal; open children end likewise."""
        status: Status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        except TrialPruned:
            status = "PRUNED"
            raise
        finally:
            self._end(status)

    def _end(self, status: Status) -> None:
        self._folder.end_open_runs(status, _now())
        self._courier.end(self._folder)
        self._folder.release()


def _name(fold: Fold) -> str:
    return f"fold {fold.number}"


def _now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
