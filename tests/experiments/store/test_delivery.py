"""What reaches MLflow, on a real sqlite store."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from experiments.home import Home
from experiments.log_items import Dataset, File, Metrics, Params, Started, Table, Tags
from experiments.store import open_store, sync
from experiments.store.system_metrics import AFTER
from experiments.tracking import RunFolder, Tracker
from experiments.tracking.outbox import Delivered
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


def fold() -> Fold:
    return Fold(0, 0, np.array([0]), np.array([1]))
