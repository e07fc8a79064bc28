"""A run's artifact as MLflow's LoggedModel: all that is known of the run goes with it, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Metric
from mlflow.models import get_model_info

from experiments.home import Home
from experiments.promotion.registry import model_artifact
from experiments.store import experiment_id, open_store
from experiments.store.model import log_model
from training.artifact.manifest import read_manifest

ARTIFACT = Path(__file__).parents[2] / "golden" / "artifacts" / "v1"
TAGS = {"mlflow.user": "ada", "mlflow.source.git.commit": "c0ffee", "other": "tag"}


@pytest.fixture
def client(home: Home) -> MlflowClient:
    return open_store(home)


@pytest.fixture
def run_id(client: MlflowClient, home: Home) -> str:
    """A run with a parameter and a metric."""
    run = str(client.create_run(experiment_id(client, home, "models"), tags=TAGS).info.run_id)
    client.log_param(run, "seed", "3")
    client.log_metric(run, "ibs/infection", 0.06, timestamp=7)
    return run


def log(client: MlflowClient, run_id: str, artifact: Path = ARTIFACT) -> None:
    refused = Metric("ibs/GvHD (3+)", 0.1, 7, 0)  # a name that MLflow does not take, so that the run has none
    log_model(client, run_id, artifact, ["numpy==2.4.6"], [Metric("ibs/infection", 0.06, 7, 0), refused])


def test_a_model_knows_its_run_and_is_logged_once(client: MlflowClient, run_id: str) -> None:
    for _ in range(2):
        log(client, run_id)
    run = client.get_run(run_id)
    (model_id,) = [one.model_id for one in run.outputs.model_outputs]
    model = client.get_logged_model(model_id)
    assert (model.status, model.source_run_id, model.model_type) == (LoggedModelStatus.READY, run_id, "mixture")
    assert model.params == {"seed": "3"}
    assert {key: model.tags.get(key) for key in TAGS} == {**TAGS, "other": None}
    assert [(metric.key, metric.value) for metric in model.metrics or ()] == [("ibs/infection", 0.06)]
    assert len(client.get_metric_history(run_id, "ibs/infection")) == 1
    info = get_model_info(f"models:/{model_id}")
    assert (info.run_id, info.model_id) == (run_id, model_id)
    assert info.metadata["provenance"] == "simulated"
    assert info.signature.inputs.input_names() == ["patient"]
    assert info.saved_input_example_info is not None


def test_a_model_that_could_not_be_stored_is_marked_failed_and_logged_anew(
    client: MlflowClient, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(MlflowClient, "log_model_artifacts", full)
    with pytest.raises(OSError, match="no space left"):
        log(client, run_id)
    monkeypatch.undo()
    log(client, run_id)
    models = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    assert sorted(model.status for model in models) == [LoggedModelStatus.FAILED, LoggedModelStatus.READY]


def test_a_model_is_found_where_it_lies_and_where_former_ones_lay(
    client: MlflowClient, run_id: str, tmp_path: Path
) -> None:
    log(client, run_id, Path(shutil.copytree(ARTIFACT, tmp_path / "artifact")))  # as runs name theirs
    (model_id,) = [one.model_id for one in client.get_run(run_id).outputs.model_outputs]
    expected = read_manifest(ARTIFACT)
    lies = model_artifact(model_id)
    assert read_manifest(lies) == expected
    former = lies.parents[1] / "artifacts"
    lies.parent.rename(former)
    assert model_artifact(model_id) == former / "artifact"
    assert read_manifest(former / "artifact") == expected
