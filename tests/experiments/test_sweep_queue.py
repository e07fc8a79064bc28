"""The queue of trials, on real databases: exact numbers, whoever works; nothing lost, nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from tracking_servers import postgres

from experiments.sweeps.config import SweepConfig
from experiments.sweeps.queue import MOST_LOST, Queue, begin_or_join
from experiments.sweeps.storage import Storage
from features.errors import SequelaError


@pytest.fixture(scope="module")
def on_postgres() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "sqlite":
        return Storage(f"sqlite:///{tmp_path / 'studies.db'}")
    return Storage(request.getfixturevalue("on_postgres"))


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Storage:
    return Storage(f"sqlite:///{tmp_path / 'studies.db'}")


def sweep(request: pytest.FixtureRequest, **content: Any) -> SweepConfig:
    name = request.node.name.replace("[", "-").replace("]", "")[:80]
    space = {"x": {"low": 0.0, "high": 1.0}, "kind": ["a", "b"], "y": {"low": 1, "high": 9, "when": {"kind": "b"}}}
    return SweepConfig.model_validate({"name": name, "run": "run.yaml", "space": space, "trials": 14} | content)


def begun(storage: Storage, config: SweepConfig, grid: list[dict[str, Any]] | None = None) -> Queue:
    begin_or_join(storage.open(), config, {"seed": config.seed}, lambda: "run")
    return Queue(storage.open(), config, grid or [])


def propose(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    return x + (trial.suggest_int("y", 1, 9) if trial.suggest_categorical("kind", ["a", "b"]) == "b" else 0)


def work(queue: Queue, most: int = 1000) -> None:
    while queue.finished() < queue.places and most:
        trial = queue.take()
        if trial is not None:
            with queue.heartbeat(trial):
                queue.tell(trial, propose(trial))
            most -= 1
        else:
            time.sleep(0.05)


def chosen(queue: Queue) -> list[dict[str, Any]]:
    return [trial.params for _, trial in sorted(queue.trials().items())]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # threads share their filters
def test_several_workers_make_exactly_as_many_trials_as_asked(storage: Storage, request: pytest.FixtureRequest) -> None:
    config = sweep(request)
    queues = [begun(storage, config) for _ in range(3)]
    threads = [threading.Thread(target=work, args=[queue]) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = queues[0].study.get_trials(states=(TrialState.COMPLETE,))
    assert sorted(trial.user_attrs["place"] for trial in done) == list(range(14))
    assert queues[0].take() is None


def test_a_worker_that_falls_silent_loses_its_trial_to_another(
    storage: Storage, request: pytest.FixtureRequest
) -> None:
    config = sweep(request, trials=2)
    silent = begun(storage, config)
    lost = silent.take()
    assert lost is not None
    asked = propose(lost)
    work(patient := begun(storage, config), most=1)
    assert (patient.finished(), patient.take()) == (1, None)
    other = begun(replace(storage, stale_after_seconds=4), config)
    deadline = time.monotonic() + 30
    while (again := other.take()) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert again is not None
    assert again.user_attrs["place"] == lost.user_attrs["place"]
    assert propose(again) == asked
    with pytest.raises(UpdateFinishedTrialError):
        silent.tell(lost, 1.0)
    other.tell(again, 2.0)
    assert other.trials()[again.user_attrs["place"]].value == 2.0
    assert other.finished() == 2


def test_a_study_that_was_interrupted_goes_on_as_if_it_had_not_been(
    on_sqlite: Storage, request: pytest.FixtureRequest
) -> None:
    through, stopped = sweep(request, name="through"), sweep(request, name="stopped")
    work(whole := begun(on_sqlite, through))
    work(first := begun(on_sqlite, stopped), most=11)  # ten trials are proposed at random, later ones by the model
    interrupted = first.take()
    assert interrupted is not None
    propose(interrupted)
    interrupted.report(0.5, step=0)
    first.give_back(interrupted)
    work(again := begun(on_sqlite, stopped))
    assert chosen(again) == chosen(whole)
    other = begun(on_sqlite, sweep(request, name="other", seed=1))
    work(other, most=2)
    assert chosen(other)[:2] != chosen(whole)[:2]


def test_what_kills_its_workers_is_not_tried_for_ever(on_sqlite: Storage, request: pytest.FixtureRequest) -> None:
    queue = begun(on_sqlite, sweep(request, trials=1))
    for number in range(MOST_LOST + 1):
        trial = queue.take()
        assert (trial is None) == (number == MOST_LOST)
        if trial is not None:
            queue.study.tell(trial, state=TrialState.FAIL)  # as Optuna does for one without a heartbeat
    assert queue.finished() == 1


def test_a_failed_trial_is_done_and_its_reason_kept(on_sqlite: Storage, request: pytest.FixtureRequest) -> None:
    queue = begun(on_sqlite, sweep(request, trials=1))
    trial = queue.take()
    assert trial is not None
    trial.set_user_attr("reason", "no such thing")
    queue.fail(trial)
    assert (queue.finished(), queue.take()) == (1, None)
    assert queue.trials()[0].user_attrs["reason"] == "no such thing"


def test_a_grid_is_every_combination_once_and_more_trials_can_be_asked_later(
    on_sqlite: Storage, request: pytest.FixtureRequest
) -> None:
    grid = [{"x": 0.1, "kind": "a"}, {"x": 0.2, "kind": "b", "y": 3}]
    config = sweep(request, sampler="random", trials=1)
    work(queue := begun(on_sqlite, config, grid))
    assert chosen(queue) == grid[:1]
    work(queue := begun(on_sqlite, config.model_copy(update={"trials": None}), grid))
    assert chosen(queue) == grid


def test_another_sweep_of_the_same_name_is_refused(on_sqlite: Storage, request: pytest.FixtureRequest) -> None:
    config = sweep(request)
    space = {"x": {"low": 0}}
    assert begin_or_join(on_sqlite.open(), config, {"space": space, "seed": 0}, lambda: "one") == "one"
    assert begin_or_join(on_sqlite.open(), config, {"space": space, "seed": 0}, lambda: "two") == "one"
    with pytest.raises(SequelaError, match=r"differs .* in space\.x\.low; restore that, or begin another .* --name"):
        begin_or_join(on_sqlite.open(), config, {"space": {"x": {"low": 1}}, "seed": 0}, lambda: "three")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("postgresql://me:secret@127.0.0.1:1/x", r"me:\*\*\*@127.*cannot be opened", id="nobody-there"),
        pytest.param("nonsense", "cannot be opened", id="no-address"),
        pytest.param("oracle://me:secret@host/x", "driver is not installed", id="no-driver"),
        pytest.param("sqlite:////nowhere/at/all.db", "cannot be opened", id="no-folder"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_named_without_its_password(url: str, message: str) -> None:
    with pytest.raises(SequelaError, match=message) as error:
        Storage(url).open()
    assert "secret" not in str(error.value)
