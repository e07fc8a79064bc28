"""What reaches MLflow, on a real sqlite store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from experiments.home import Home
from experiments.log_items import Dataset, File, Metrics, Params, Table, Tags, flatten
from experiments.tracking import PARENT, Tracker, experiment_id, find_run, open_store
from features.errors import SequelaError
from training.splits import Fold


@pytest.fixture
def client(home: Home) -> MlflowClient:
    return open_store(home)


@pytest.fixture
def tracker(client: MlflowClient, home: Home) -> Tracker:
    return Tracker.start(client, experiment_id(client, home, "trial"), "one")


def test_every_kind_of_item_arrives(client: MlflowClient, tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    tracker.log(
        [
            Params({"model.kind": "cox", "long": "x" * 7000}),
            Metrics({"ibs/infection": 0.1}),
            Tags({"sequela.model": "cox"}),
            Dataset("cohort", "abc", "folder", {"patients": 3}),
            Table("scores.json", {"metric": ["ibs"], "point": [0.1]}),
            File(tmp_path / "note.txt"),
        ]
    )
    run = client.get_run(tracker.run_id)
    assert run.data.params["model.kind"] == "cox"
    assert len(run.data.params["long"]) == 6000
    assert run.data.metrics == {"ibs/infection": 0.1}
    assert run.data.tags["sequela.model"] == "cox"
    assert run.inputs.dataset_inputs[0].dataset.digest == "abc"
    assert {file.path for file in client.list_artifacts(tracker.run_id)} == {"note.txt", "scores.json"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(None, "FINISHED", id="finished"),
        pytest.param(ValueError("boom"), "FAILED", id="failed"),
        pytest.param(KeyboardInterrupt(), "KILLED", id="killed"),
    ],
)
def test_the_status_tells_how_the_run_ended(
    client: MlflowClient, tracker: Tracker, error: BaseException | None, status: str
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
    assert client.get_run(tracker.run_id).info.status == status
    (child,) = children(client, tracker)
    assert child.info.status == status


def fold() -> Fold:
    return Fold(0, 0, np.array([0]), np.array([1]))


def children(client: MlflowClient, tracker: Tracker) -> list:  # type: ignore[type-arg]
    return list(client.search_runs([tracker.experiment_id], f"tags.`{PARENT}` = '{tracker.run_id}'"))


def test_a_fold_resumed_after_a_kill_is_one_child_run(client: MlflowClient, tracker: Tracker) -> None:
    tracker.log([Params({"seed": "0"})])
    with tracker.ends_truthfully():
        tracker.fold_started(fold())
        again = Tracker.resume(client, tracker.run_id)
        again.fold_started(fold())
        again.epoch_ended(fold(), 0, 1.0, 1.1)
        again.fold_ended(fold(), np.zeros((2, 1, 1)))
    (child,) = children(client, tracker)
    assert child.data.params == {"seed": "0"}
    assert child.data.metrics["loss/out_of_bag"] == pytest.approx(1.1)


def test_runs_are_found_by_name_and_by_the_beginning_of_an_id(client: MlflowClient, tracker: Tracker) -> None:
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
