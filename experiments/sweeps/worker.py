"""One worker of a sweep: one trial after another, each a cross-validation."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from experiments.config import RunConfig
from experiments.crossval import cross_validate, untested
from experiments.data import TrainingRows
from experiments.home import Home
from experiments.log_items import File, Metrics, Tags, headline_metrics, run_description
from experiments.out_of_fold import OutOfFold
from experiments.scoring import score
from experiments.store import open_store
from experiments.sweeps.check import RowsOfRuns
from experiments.sweeps.config import Objective, Sweep
from experiments.sweeps.objective import objective_values
from experiments.sweeps.queue import Queue
from experiments.sweeps.space import Space
from experiments.sweeps.storage import Storage
from experiments.sweeps.tracked import FAILURE, begin_trial, end_lost
from experiments.tracking import Tracker
from features.errors import CohortError, SequelaError
from training.splits import Fold

PREDICTIONS = "out_of_fold.npy"
"""Artifact of a complete trial: incidence (repeats, rows, causes, times)."""
PAUSE_SECONDS = 1.0
STORES = (MlflowException, StorageInternalError)
"""A store that fails is no fault of the trial's."""


def folder_of(home: Home, sweep: Sweep) -> Path:
    """What a sweep writes on this machine."""
    return home.folder / "sweeps" / sweep.config.name


@dataclass(slots=True)
class Worker:
    """One worker; several may share a study, here and elsewhere."""

    sweep: Sweep
    home: Home
    space: Space
    queue: Queue
    client: MlflowClient
    parent: str
    """Id of the sweep's run."""
    rows: RowsOfRuns

    @classmethod
    def open(cls, sweep: Sweep, home: Home, storage: Storage, parent: str) -> Worker:
        """Connect to the stores."""
        client = open_store(home)
        space = Space(sweep, folder_of(home, sweep) / "endpoints")
        grid = space.grid() if sweep.config.sampler == "grid" else []
        queue = Queue(storage.open(lambda trial: end_lost(client, home, trial)), sweep.config, grid)
        return cls(sweep, home, space, queue, client, parent, RowsOfRuns(home))

    def work(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Carry out trials until all are finished, also those that others lose."""
        while (finished := self.queue.finished()) < self.queue.places:
            if progress is not None:
                progress(finished, self.queue.places)
            trial = self.queue.take()
            if trial is None:
                time.sleep(PAUSE_SECONDS)
            else:
                with self.queue.heartbeat(trial):
                    self._carry_out(trial)
        if progress is not None:
            progress(self.queue.places, self.queue.places)

    def _carry_out(self, trial: optuna.Trial) -> None:
        """One trial; how it ends is told to MLflow and then, when that has its predictions, to Optuna."""
        place = trial.user_attrs["place"]
        chosen = self.space.propose(trial)
        tracker = begin_trial(self.home, self.parent, self.sweep, place, chosen, self.rows.scored(self.sweep.base))
        try:
            trial.set_user_attr("run_id", tracker.run_id)
            with tracker.ends_truthfully(), _failure_told(trial, tracker):
                config = self.space.run(chosen, f"{self.sweep.config.name}: trial {place}")
                value = self._evaluate(trial, config, tracker)
            self.queue.tell(trial, value)
        except optuna.TrialPruned:
            self.queue.tell(trial, None)
        except UpdateFinishedTrialError:
            end_lost(self.client, self.home, trial.storage.get_trial(trial._trial_id))
        except KeyboardInterrupt:
            self.queue.give_back(trial)
            raise
        except STORES:
            raise
        except Exception:  # noqa: BLE001  one bad configuration must not end the sweep; its reason is told
            self.queue.fail(trial)

    def _evaluate(self, trial: optuna.Trial, config: RunConfig, tracker: Tracker) -> float:
        """Cross-validate, score, and log; returns the objective.

        Raises:
            optuna.TrialPruned: Others are better.
        """
        rows = self.rows.of(config)
        tracker.log(run_description(config, rows))
        objective = self.sweep.config.objective
        steps = _Steps(trial, rows, config, objective, tracker)
        out_of_fold = cross_validate(rows, config, tracker.folder / "folds", steps)
        value = float(objective_values(rows, out_of_fold, objective))
        if not np.isfinite(value):
            msg = f"objective {objective.metric} is not defined on these outcomes; choose another metric or cause"
            msg += ", or fewer folds"
            raise SequelaError(msg)
        with (tracker.folder / PREDICTIONS).open("wb") as file:
            np.save(file, out_of_fold.incidence, allow_pickle=False)
        tracker.log([File(Path(PREDICTIONS)), Metrics(headline_metrics(score(rows, out_of_fold, config)))])
        tracker.log([Metrics({f"objective/{objective.metric}": value})])
        return value


@contextmanager
def _failure_told(trial: optuna.Trial, tracker: Tracker) -> Iterator[None]:
    """Tell Optuna and MLflow why a trial failed."""
    try:
        yield
    except (optuna.TrialPruned, UpdateFinishedTrialError, *STORES):
        raise
    except Exception as error:
        tracker.log([Tags({FAILURE: reason_of(error)})])
        trial.set_user_attr("reason", reason_of(error))
        raise


def reason_of(error: Exception) -> str:
    """Why a trial failed, without anything of a patient: findings and foreign messages may quote values."""
    if isinstance(error, SequelaError) and not isinstance(error, CohortError):
        return str(error).splitlines()[0][:500]
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"


@dataclass(slots=True)
class _Steps:
    """Told of each fold: the objective so far goes to Optuna, which may prune, and to MLflow as a step."""

    trial: optuna.Trial
    rows: TrainingRows
    config: RunConfig
    objective: Objective
    tracker: Tracker
    so_far: OutOfFold = field(init=False)

    def __post_init__(self) -> None:
        self.so_far = untested(self.rows, self.config)

    def fold_started(self, fold: Fold) -> None:
        """A fold begins."""

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        """An epoch ended: of no interest here."""

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        """Score the rows tested so far.

        Raises:
            optuna.TrialPruned: The others were better by this fold.
        """
        self.so_far.incidence[fold.repeat, fold.test] = incidence
        try:
            value = float(objective_values(self.rows, self.so_far, self.objective))
        except SequelaError:  # so far nothing is known about any time
            return
        if not np.isfinite(value):
            return
        self.tracker.log([Metrics({f"so_far/{self.objective.metric}": value}, step=fold.number)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a trial that was given back has told some folds already
            self.trial.report(value, fold.number)
        if fold.number + 1 < len(self.so_far.folds) and self.trial.should_prune():
            raise optuna.TrialPruned
