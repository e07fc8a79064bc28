"""What training tells about a run, and what becomes of it in MLflow."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mlflow import MlflowClient
from optuna import TrialPruned

from experiments.home import Home
from experiments.log_items import Params, flatten
from experiments.store import PARENT, find_run, open_store, sync
from experiments.store.delivery import Delivery
from experiments.tracking import RunFolder, Tracker
from features.errors import SequelaError
from training.splits import Fold


@pytest.fixture
def client(home: Home) -> MlflowClient:
    return open_store(home)


@pytest.fixture
def tracker(home: Home) -> Tracker:
    return Tracker.start(home, "trial", "one")


def test_a_run_that_is_interrupted_while_mlflow_is_met_is_killed(client: MlflowClient, home: Home) -> None:
    class Interrupted(Delivery):
        def begin(self, folder: RunFolder) -> None:
            super().begin(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tracker.start(home, "trial", "one", courier=Interrupted(home))
    assert find_run(client, "one").info.status == "KILLED"
    (folder,) = RunFolder.all_of(home)
    assert folder.status == "killed"
    assert folder.take(), "the next process may go on with it"
    with pytest.raises(KeyboardInterrupt):
        Tracker.resume(home, folder, Interrupted(home))
    assert find_run(client, "one").info.status == "KILLED"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(None, "FINISHED", id="finished"),
        pytest.param(ValueError("boom"), "FAILED", id="failed"),
        pytest.param(KeyboardInterrupt(), "KILLED", id="killed"),
        pytest.param(TrialPruned(), "PRUNED", id="pruned"),
    ],
)
def test_the_status_tells_how_the_run_ended(
    client: MlflowClient, home: Home, tracker: Tracker, error: BaseException | None, status: str
) -> None:
    def work() -> None:
        with tracker.ends_truthfully():
            tracker.fold_started(fold())
            if error is not None:
                raise error
            tracker.fold_ended(fold(), np.zeros((2, 1, 1)))

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    known = "KILLED" if status == "PRUNED" else status
    run = client.get_run(tracker.run_id)
    assert run.info.status == known
    assert (run.data.tags.get("sequela.status") == "pruned") == (status == "PRUNED")
    (child,) = children(client, tracker)
    assert child.info.status == known
    record = json.loads((home.runs / tracker.run_id / "run.json").read_text())
    assert record["status"] == status.lower()


def fold() -> Fold:
    return Fold(0, 0, np.array([0]), np.array([1]))


def children(client: MlflowClient, tracker: Tracker) -> list:  # type: ignore[type-arg]
    return list(client.search_runs([tracker.experiment_id], f"tags.`{PARENT}` = '{tracker.run_id}'"))


def test_a_fold_resumed_after_a_failure_is_one_child_run(client: MlflowClient, home: Home, tracker: Tracker) -> None:
    tracker.log([Params({"seed": "0"})])

    def fail() -> None:
        with tracker.ends_truthfully():
            tracker.fold_started(fold())
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    folder = next(RunFolder.all_of(home))
    assert folder.take()
    again = Tracker.resume(home, folder)
    assert client.get_run(tracker.run_id).info.status == "RUNNING"
    with again.ends_truthfully():
        again.fold_started(fold())
        again.epoch_ended(fold(), 0, 1.0, 1.1)
        again.fold_ended(fold(), np.zeros((2, 1, 1)))
    assert again.run_id == tracker.run_id
    (child,) = children(client, tracker)
    assert child.data.params == {"seed": "0"}
    assert child.data.metrics["loss/out_of_bag"] == pytest.approx(1.1)
    assert {child.info.status, client.get_run(tracker.run_id).info.status} == {"FINISHED"}


def test_a_run_that_is_going_on_cannot_be_taken(home: Home, tracker: Tracker) -> None:
    folder = next(RunFolder.all_of(home))
    assert not folder.take()
    with tracker.ends_truthfully():
        assert list(sync(home)) == []
    assert folder.take()
    folder.release()


def test_runs_are_found_by_name_and_by_the_beginning_of_an_id(client: MlflowClient, tracker: Tracker) -> None:
    with tracker.ends_truthfully():
        pass
    assert find_run(client, "one").info.run_id == tracker.run_id
    assert find_run(client, tracker.run_id[:8]).info.run_id == tracker.run_id
    with pytest.raises(SequelaError, match="no run has this id or name"):
        find_run(client, "two")


def test_nested_values_become_flat_names() -> None:
    assert flatten({"model": {"kind": "cox", "sizes": {"p": 3}}, "seed": 0}) == {
        "model.kind": "cox",
        "model.sizes.p": "3",
        "seed": "0",
    }
