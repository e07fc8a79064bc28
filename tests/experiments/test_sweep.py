"""Real sweeps end to end: what is tracked, how trials end, what is reported, and that the command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from experiments import crossval
from experiments.config import load_run
from experiments.home import CONFIGS, Home
from experiments.store import PARENT, open_store
from experiments.sweeps.config import load_sweep
from experiments.sweeps.launch import Finished, run_sweep, show_sweep, storage_of
from experiments.sweeps.shown import print_results
from features.errors import SequelaError

MODELS = {"cox": {"kind": "cox", "penalty": 50}, "null": {"kind": "aalen_johansen"}}


def written(folder: Path, cohort: Path, **content: Any) -> Path:
    path = folder / "sweep.yaml"
    overrides = [f"cohort={cohort}", "features={cells: [], events: []}", "validation={folds: 3, bootstrap: 20}"]
    base = {"name": "small", "run": str(CONFIGS / "run" / "cox.yaml"), "overrides": overrides}
    path.write_text(yaml.safe_dump(base | content, sort_keys=False))
    return path


def carried_out(path: Path, home: Home, **changes: Any) -> Finished:
    silent = lambda done, of: None  # noqa: E731
    return run_sweep(
        load_sweep(path, **changes), home, storage_of(home, None, 60), workers=1, cells=silent, trials=silent
    )


def trials_of(home: Home, parent: str) -> list[Run]:
    client = open_store(home)
    experiment = client.get_run(parent).info.experiment_id
    runs = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'")
    return sorted(runs, key=lambda run: int(run.data.tags["sequela.trial"]))


def artifacts(client: MlflowClient, run_id: str) -> set[str]:
    return {file.path for file in client.list_artifacts(run_id)}


def test_a_sweep_from_yaml_to_its_best_run(
    cohort: Path, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"model": MODELS, "features.measurements": {"laboratory": ["*"], "none": []}}
    path = written(tmp_path, cohort, space=space, sampler="grid")
    done = carried_out(path, home)
    client = open_store(home)
    parent = client.get_run(done.run_id)
    assert parent.info.status == "FINISHED"
    figures = {"sweep_history.png", "sweep_importance.png", "sweep_slices.png"}
    assert artifacts(client, done.run_id) == figures | {"trials.csv", "best.yaml"}
    assert "chosen on the folds that score it" in parent.data.tags["mlflow.note.content"]
    assert "simulated" in parent.data.tags["mlflow.note.content"]

    trials = trials_of(home, done.run_id)
    assert [run.info.status for run in trials] == ["FINISHED"] * 4
    assert {run.data.params["sweep.model"] for run in trials} == {"cox", "null"}
    assert {run.data.params["model.kind"] for run in trials} == {"cox", "aalen_johansen"}
    steps = client.get_metric_history(trials[0].info.run_id, "so_far/ibs")
    assert [step.step for step in steps] == [0, 1, 2]
    scores = {int(run.data.tags["sequela.trial"]): run.data.metrics["objective/ibs"] for run in trials}
    assert steps[-1].value == pytest.approx(scores[0])
    for run in trials:  # the mean over landmarks of what each run tells of itself
        landmarks = run.data.metrics["ibs/infection"], run.data.metrics["ibs_from30/infection"]
        assert run.data.metrics["objective/ibs"] == pytest.approx(np.mean(landmarks))

    table = pd.read_csv(done.folder / "trials.csv")
    best = table.iloc[0]
    assert best["score"] == pytest.approx(min(scores.values()))
    assert best["low"] < best["score"] < best["high"]
    assert parent.data.metrics["best/ibs"] == pytest.approx(best["score"])
    assert parent.data.metrics["corrected/ibs_lo"] < parent.data.metrics["corrected/ibs"]
    config = load_run(done.folder / "best.yaml")
    assert config.name == "small_best"
    assert config.model.kind == MODELS[best["model"]]["kind"]

    again = carried_out(path, home)  # nothing is left to do
    assert (again.run_id, len(trials_of(home, done.run_id))) == (done.run_id, 4)
    assert open_store(home).get_run(done.run_id).info.status == "FINISHED"
    print_results(show_sweep(load_sweep(path), home, storage_of(home, None, 60)))
    shown = capsys.readouterr().out
    assert "simulated patients" in shown
    assert "chosen on the folds that score it" in shown
    assert f"{parent.data.metrics['corrected/ibs']:.4f}" in shown


def test_pruned_and_failed_trials_are_called_so_and_the_sweep_goes_on(
    cohort: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {f"weak {n}": {"kind": "cox", "penalty": 50 + n} for n in range(5)} | {
        "wild": {"kind": "cox", "penalty": 1e-6},
        "impossible": {"kind": "mixture", "members": [{"kind": "cox"}, {"kind": "cox"}]},
    }
    path = written(tmp_path, cohort, space={"model": models}, sampler="grid", pruner="median")
    fit = crossval.fit_risk_model

    def fails_on_mixtures(*given: Any, **named: Any) -> Any:
        if given[4].kind == "mixture":
            msg = f"patient {given[0].patient_id[0]} has age 61"
            raise RuntimeError(msg)
        return fit(*given, **named)

    monkeypatch.setattr(crossval, "fit_risk_model", fails_on_mixtures)
    done = carried_out(path, home)
    ended = {run.data.params["sweep.model"]: run for run in trials_of(home, done.run_id)}
    assert ended["wild"].info.status == "KILLED"
    assert ended["wild"].data.tags["sequela.status"] == "pruned"
    assert "objective/ibs" not in ended["wild"].data.metrics
    failed = ended["impossible"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["sequela.failure"].startswith("RuntimeError at test_sweep.py:")
    assert all(ended[f"weak {n}"].info.status == "FINISHED" for n in range(5))
    states = dict(done.results.table[["model", "state"]].values)
    assert (states["wild"], states["impossible"]) == ("pruned", "failed")
    assert open_store(home).get_run(done.run_id).data.metrics["trials/pruned"] == 1


def test_the_same_sweep_makes_the_same_trials(cohort: Path, home: Home, tmp_path: Path) -> None:
    space = {"model.penalty": {"low": 10.0, "high": 1000.0, "log": True}}
    path = written(tmp_path, cohort, space=space, trials=2, objective={"metric": "ipa", "landmark_days": [30]})
    one, other = (carried_out(path, home, name=name).results for name in ("one", "other"))
    columns = ["trial", "score", "low", "high", "model.penalty"]
    pd.testing.assert_frame_equal(one.table[columns], other.table[columns], check_exact=True)
    assert one.selection.corrected == other.selection.corrected
    assert one.table["score"].is_monotonic_decreasing
    with pytest.raises(SequelaError, match=r"study one: differs .* in run\.seed"):
        run_sweep(
            load_sweep(path, ["seed=1"], name="one"),
            home,
            storage_of(home, None, 60),
            workers=1,
            cells=lambda done, of: None,
            trials=lambda done, of: None,
        )


def test_two_workers_one_of_them_killed_make_all_trials_once(cohort: Path, home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, cohort, space={"model": MODELS}, trials=6, sampler="random")
    script = Path(sys.executable).parent / "sequela"
    command = [script, "sweep", path, "--workers", "2", "--stale-after", "15"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    storage = f"sqlite:///{home.folder / 'studies.db'}"
    while (killed := kill_a_worker_at_its_trial(storage)) is None and process.poll() is None:
        time.sleep(0.05)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert killed is not None
    assert "best of 6 trials" in out
    study = optuna.load_study(study_name="small", storage=storage)
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    assert sorted(trial.user_attrs["place"] for trial in complete) == list(range(6))
    assert len(study.get_trials()) == 7
    statuses = [run.info.status for run in trials_of(home, study.user_attrs["run_id"])]
    assert (statuses.count("FINISHED"), statuses.count("KILLED"), len(statuses)) == (6, 1, 7)


def kill_a_worker_at_its_trial(storage: str) -> int | None:
    """With SIGKILL, once its trial is in MLflow."""
    try:
        study = optuna.load_study(study_name="small", storage=storage)
    except (KeyError, StorageInternalError):  # not begun
        return None
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if "run_id" in trial.user_attrs:
            pid = int(trial.user_attrs["worker"].split(":")[1])
            os.kill(pid, signal.SIGKILL)
            return pid
    return None
