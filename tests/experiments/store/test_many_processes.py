"""Many runs at once on one store, and runs that are killed at any moment."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run
from run_processes import deliver_all, start_run
from tracking_servers import MlflowServer

from experiments.config import RunConfig
from experiments.home import Home
from experiments.store import PARENT, deliver_left, open_store
from experiments.tracking import RunFolder

N_KILLS = int(os.environ.get("SEQUELA_TEST_KILLS", "3"))
"""How many moments are tried; set it to 20 to be sure."""


@pytest.mark.parametrize("store", ["sqlite", "server"])
def test_ten_runs_at_once_lose_nothing(tiny: RunConfig, home: Home, store: str, request: pytest.FixtureRequest) -> None:
    server: MlflowServer | None = request.getfixturevalue("server") if store == "server" else None
    configs = [tiny.model_copy(update={"name": f"run {n}", "experiment": f"ten-{store}", "seed": n}) for n in range(10)]
    environment = server.environment if server else {}
    processes = [start_run(config, home, environment, beside=store == "server") for config in configs]
    for process in processes:
        process.join(400)
    assert [process.exitcode for process in processes] == [0] * 10
    deliver_all(home)
    runs = runs_of(home, f"ten-{store}")
    parents = {run.info.run_name: run for run in runs if PARENT not in run.data.tags}
    assert set(parents) == {config.name for config in configs}
    assert {run.info.status for run in runs} == {"FINISHED"}
    client = open_store(home)
    for run in parents.values():
        report = home.runs / run.info.run_id / "report"
        logged = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {path.name for path in report.iterdir()} < logged
        assert run.data.metrics["ibs/infection"] == pytest.approx(first_score(report / "scores.csv"))
        assert len(run.outputs.model_outputs) == len(run.inputs.dataset_inputs) == 1
        children = [child for child in runs if child.data.tags.get(PARENT) == run.info.run_id]
        assert sorted(child.info.run_name for child in children) == ["fold 0", "fold 1"]
        for child in children:
            steps = [metric.step for metric in client.get_metric_history(child.info.run_id, "loss/train")]
            assert sorted(steps) == list(range(len(steps)))
            assert steps


def first_score(scores: Path) -> float:
    table = pd.read_csv(scores).query("metric == 'ibs' and cause == 'infection' and landmark_day == 0")
    return float(table["point"].item())


def runs_of(home: Home, experiment: str) -> list[Run]:
    client = open_store(home)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


@pytest.fixture(scope="module")
def unbroken(tiny: RunConfig, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a run that nobody killed, and its seconds."""
    home = Home(tmp_path_factory.mktemp("unbroken"))
    home.database.write_bytes(migrated.read_bytes())
    for _ in range(2):  # the first run also waits for the server of processes
        began = time.monotonic()
        process = start_run(tiny, home, {})
        process.join(300)
        seconds = time.monotonic() - began
        assert process.exitcode == 0
    return min(home.runs.iterdir()), seconds


@pytest.mark.parametrize("moment", range(N_KILLS))
def test_a_run_killed_at_any_moment_is_marked_and_ends_with_the_same_numbers(
    tiny: RunConfig, home: Home, unbroken: tuple[Path, float], moment: int
) -> None:
    folder, seconds = unbroken
    share = np.random.default_rng(7).permutation(np.linspace(0.05, 0.95, max(N_KILLS, 3)))[moment]
    beside = moment % 2 == 0  # of the courier, which lives on for a moment
    process = start_run(tiny, home, {}, beside=beside)
    time.sleep(share * seconds)
    process.kill()
    process.join()
    deliver_left(home)
    assert "RUNNING" not in {run.info.status for run in runs_of(home, tiny.experiment)}

    begun = list(RunFolder.all_of(home))
    if [folder.status for folder in begun] != ["finished"]:  # killed after that, its last items were delivered later
        again = start_run(tiny, home, {}, resume=bool(begun), beside=beside)
        again.join(300)
        assert again.exitcode == 0
    runs = runs_of(home, tiny.experiment)
    parents = [run for run in runs if PARENT not in run.data.tags]
    assert len(parents) == 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    client = open_store(home)
    models = [client.get_logged_model(one.model_id) for one in parents[0].outputs.model_outputs]
    assert sum(model.status == "READY" for model in models) == 1  # one that a kill cut short has failed
    ours, theirs = (
        pd.read_parquet(path / "report" / "oof_predictions.parquet")
        for path in (home.runs / parents[0].info.run_id, folder)
    )
    pd.testing.assert_frame_equal(ours, theirs)
    scores, expected = (pd.read_csv(p / "report" / "scores.csv") for p in (home.runs / parents[0].info.run_id, folder))
    pd.testing.assert_frame_equal(scores, expected)
