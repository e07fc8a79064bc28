"""The study in Optuna: a fixed number of places, each filled by one trial, whoever works on them.

Every trial that was ever begun for place 7 carries ``place: 7``. A trial counts unless it was lost: failed in Optuna
without a reason, because its worker was killed. A place without a trial that counts is queued again; of
several that count (two workers may queue at once) the one with the lowest number is the trial of that place. So no lock
is needed, and a sweep of 40 trials ends with 40, however many workers join, die or come back.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from experiments.log_items import flatten
from experiments.sweeps.config import SweepConfig
from experiments.sweeps.storage import OPENING_SECONDS, experimental
from features.errors import SequelaError

MOST_LOST = 3
"""A trial whose worker died so often is not tried again: it may be what kills them."""


class Queue:
    """One study, for one worker."""

    def __init__(self, storage: RDBStorage, config: SweepConfig, grid: list[dict[str, Any]]) -> None:
        """`grid` holds the parameters of each place of a grid, and is empty for other samplers.

        Raises:
            SequelaError: There is no study of this name.
        """
        self.config, self._grid = config, grid
        self._storage: BaseStorage = optuna.storages.get_storage(storage)
        self._heartbeats = storage
        try:
            self.study = optuna.load_study(study_name=config.name, storage=self._storage, pruner=_pruner(config))
        except KeyError:
            msg = f"study {config.name}: there is none; `sequela sweep` without --show begins it"
            raise SequelaError(msg) from None
        self._study_id = self._storage.get_study_id_from_name(config.name)
        self.places = min(config.trials or len(grid), len(grid)) if grid else (config.trials or 0)

    def trials(self) -> dict[int, FrozenTrial]:
        """By place: the trial that counts; absent where the place has to be queued."""
        by_place: dict[int, FrozenTrial] = {}
        for place, of_place in self._ever().items():
            counting = [trial for trial in of_place if not _lost(trial)]
            if counting or len(of_place) >= MOST_LOST:
                by_place[place] = (counting or of_place)[0]
        return by_place

    def _ever(self) -> dict[int, list[FrozenTrial]]:
        by_place: dict[int, list[FrozenTrial]] = {place: [] for place in range(self.places)}
        for trial in self.study.get_trials(deepcopy=False):
            by_place.get(trial.user_attrs["place"], []).append(trial)
        return by_place

    def finished(self) -> int:
        """How many places are done: complete, pruned, or failed for a reason."""
        return sum(trial.state.is_finished() for trial in self.trials().values())

    def take(self) -> optuna.Trial | None:
        """The next trial, now this worker's; None where none waits (others may still be at theirs)."""
        with experimental():
            optuna.storages.fail_stale_trials(self.study)
        self._fill()
        for place, waiting in sorted(self.trials().items()):
            if waiting.state != TrialState.WAITING:
                continue
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, waiting.number)
            self._heartbeats.record_heartbeat(trial_id)  # before it runs: without one it would never be missed
            with suppress(UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                    self.study.sampler = _sampler(self.config, place)
                    trial = optuna.Trial(self.study, trial_id)
                    trial.set_user_attr("worker", f"{platform.node()}:{os.getpid()}")
                    return trial
        return None

    def _fill(self) -> None:
        """Queue every place that has no trial which counts; a lost one's parameters are kept."""
        counting = self.trials()
        for place, ever in self._ever().items():
            if place not in counting:
                known = ever[-1].params if ever else {}
                chosen = self._grid[place] if self._grid else known
                self.study.enqueue_trial(chosen, user_attrs={"place": place})

    @contextmanager
    def heartbeat(self, trial: optuna.Trial) -> Iterator[None]:
        """Tell the storage that this worker lives, as long as the block runs."""
        ended = threading.Event()
        every = self._heartbeats.get_heartbeat_interval()

        def beat() -> None:
            while not ended.wait(every):
                with suppress(StorageInternalError):  # the database may be away for a moment
                    self._heartbeats.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def tell(self, trial: optuna.Trial, value: float | None) -> None:
        """The trial is complete, or pruned where it has no value.

        Raises:
            UpdateFinishedTrialError: Others took this worker for dead, and have queued its trial again.
        """
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        if self.study.tell(trial, value, state=state, skip_if_finished=True).state != state:
            raise UpdateFinishedTrialError(f"trial {trial.number}")

    def fail(self, trial: optuna.Trial) -> None:
        """The trial, which has been given a reason, cannot be; the sweep goes on."""
        self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def give_back(self, trial: optuna.Trial) -> None:
        """The worker is interrupted: the trial waits again, as itself, so that later proposals see no difference."""
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def _lost(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and "reason" not in trial.user_attrs


def _sampler(config: SweepConfig, place: int) -> optuna.samplers.BaseSampler:
    """Seeded by the trial's place: what it proposes depends on the trials before it, not on who asks, or when."""
    seed = int(np.random.SeedSequence([config.seed, place]).generate_state(1)[0])
    if config.sampler != "tpe":
        return optuna.samplers.RandomSampler(seed=seed)
    with experimental():
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)  # conditions make groups


def _pruner(config: SweepConfig) -> optuna.pruners.BasePruner:
    return optuna.pruners.MedianPruner() if config.pruner == "median" else optuna.pruners.NopPruner()


def begin_or_join(
    storage: RDBStorage, config: SweepConfig, identity: Mapping[str, Any], begun: Callable[[], str]
) -> str:
    """Begin the study, or join it where it is the same sweep.

    Args:
        storage: Where studies are kept.
        config: The sweep.
        identity: What it is; see `check_sweep`.
        begun: Called by the one who begins it: makes the sweep's run in MLflow, and returns its id.

    Returns:
        The id of the sweep's run.

    Raises:
        SequelaError: A study of this name is another sweep; names what differs.
    """
    direction = StudyDirection.MAXIMIZE if config.objective.maximised else StudyDirection.MINIMIZE
    try:
        study = optuna.create_study(storage=storage, study_name=config.name, direction=direction)
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=config.name, storage=storage)
        deadline = time.monotonic() + OPENING_SECONDS  # whoever began it may just be making its run
        while "run_id" not in study.user_attrs and time.monotonic() < deadline:
            time.sleep(0.2)
    known = study.user_attrs
    if "run_id" not in known:  # begun now, or by a process that did not live to make the run
        study.set_user_attr("identity", dict(identity))
        study.set_user_attr("run_id", begun())
        return str(study.user_attrs["run_id"])
    before, now = flatten(known["identity"]), flatten(identity)
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        msg = f"study {config.name}: differs from the sweep it was begun as in {', '.join(changed[:5])}"
        raise SequelaError(f"{msg}; restore that, or begin another study with --name (or `name` in the file)")
    return str(known["run_id"])
