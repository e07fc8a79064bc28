"""What reaches MLflow, on a real sqlite store."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from optuna import TrialPruned

from experiments.home import Home
from experiments.log_items import Dataset, File, Metrics, Params, Started, Table, Tags, flatten
from experiments.tracking import PARENT, RunFolder, Tracker, find_run, open_store, sync
from experiments.tracking.outbox import Delivered
from experiments.tracking.system_metrics import AFTER
from features.errors import SequelaError
from training.splits import Fold


@pytest.fixture
def client(home: Home) -> MlflowClient:
    return open_store(home)


@pytest.fixture
def tracker(home: Home) -> Tracker:
    return Tracker.start(home, "trial", "one")


def test_every_kind_of_item_arrives(client: MlflowClient, tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    with tracker.ends_truthfully():
        tracker.log(
            [
                Params({"model.kind": "cox", "long": "x" * 7000} | {f"p{i}": "" for i in range(150)}),
                Metrics({"ibs/infection": 0.1}),
                Tags({"sequela.model": "cox"}),
                Dataset("cohort", "abc", "folder", {"patients": 3}, {"sequela.endpoint": "infection"}),
                Table("scores.json", {"metric": ["ibs"], "point": [np.float64(0.1)]}),
                File(tmp_path / "note.txt"),
            ]
        )
    run = client.get_run(tracker.run_id)
    assert run.data.params["model.kind"] == "cox"
    assert len(run.data.params["long"]) == 6000
    assert len(run.data.params) == 152
    assert run.data.metrics == {"ibs/infection": 0.1}
    assert run.data.tags["sequela.model"] == "cox"
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.digest == "abc"
    assert {tag.key: tag.value for tag in used.tags} == {"sequela.endpoint": "infection"}
    assert {file.path for file in client.list_artifacts(tracker.run_id)} == {"note.txt", "scores.json"}
    assert client.load_table(run.info.experiment_id, "scores.json").to_dict("list") == {
        "metric": ["ibs"],
        "point": [0.1],
    }
    assert tracker.waiting == 0


def test_what_is_delivered_twice_is_there_once(client: MlflowClient, home: Home, tracker: Tracker) -> None:
    """A process may be killed after MLflow took something, and before that was written down."""
    items = [Params({"seed": "0"}), Metrics({"ibs": 0.1}), Table("scores.json", {"point": [0.1]})]
    with tracker.ends_truthfully():
        tracker.log([*items, Dataset("cohort", "abc", "folder", {})])
        tracker.fold_started(fold())
        tracker.fold_ended(fold(), np.zeros((2, 1, 1)))
    folder = next(RunFolder.all_of(home))
    position, runs = 0, folder.outbox.delivered().runs
    for event, behind in list(folder.outbox.read()):
        if isinstance(event.item, Started):  # MLflow's answer was lost: its id of this run is not known
            known = {name: run for name, run in runs.items() if name != event.run}
            folder.outbox.acknowledge(Delivered(position, position, known))
            (synced,) = sync(home)
            assert synced.refused == ()
        position = behind
    assert len(client.search_runs([tracker.experiment_id])) == 2
    assert len(client.get_metric_history(tracker.run_id, "ibs")) == 1
    assert len(client.get_run(tracker.run_id).inputs.dataset_inputs) == 1
    assert client.load_table(str(tracker.experiment_id), "scores.json").to_dict("list") == {"point": [0.1]}


def test_what_mlflow_refuses_holds_nothing_up(
    client: MlflowClient, tracker: Tracker, capfd: pytest.CaptureFixture[str]
) -> None:
    with tracker.ends_truthfully():
        tracker.log([Metrics({"no name!!": 1.0}), Metrics({"ibs": 0.1})])
    assert client.get_run(tracker.run_id).data.metrics == {"ibs": 0.1}
    assert capfd.readouterr().err.count("MLflow refused Metrics: ") == 1


def test_long_runs_tell_how_busy_the_machine_is(
    client: MlflowClient, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    for after in ("0.5", "1000", "off"):
        monkeypatch.setenv(AFTER, after)
        tracker = Tracker.start(home, "trial", "busy")
        with tracker.ends_truthfully():
            time.sleep(1.5)
        seen[after] = client.get_run(tracker.run_id).data.metrics
    assert seen["0.5"]["system/system_memory_usage_megabytes"] > 0
    assert seen["1000"] == seen["off"] == {}


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
