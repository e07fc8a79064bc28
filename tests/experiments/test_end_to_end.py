"""The whole way as a user goes it, through the command line and HTTP, with real stores and servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from preloaded import SEQUELA

from experiments.config import load_run
from experiments.data import load_rows
from experiments.home import CONFIGS, Home
from experiments.promotion.registry import find_champion, run_artifact
from experiments.services import free_port, running, serve_command, ui_command
from experiments.store import PARENT, find_run, open_store
from features.check import read_endpoint
from training.artifact.folder import read_artifact
from training.fit import fit_risk_model

CONSOLE_SCRIPT = Path(sys.executable).parent / "sequela"
SMALL_NETWORK = "model={kind: network, members: 4, hidden: 4, max_epochs: 40}"
SMALL = ["validation={folds: 4, bootstrap: 20}", "trainer.accelerator=cpu"]


def sequela(*words: str | Path) -> str:
    """Run the console script; stdout."""
    done = subprocess.run([SEQUELA, *map(str, words)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def settings(cohort: Path, *more: str) -> list[str]:
    """Words that make a run small."""
    return [word for value in (f"cohort={cohort}", *SMALL, *more) for word in ("--set", value)]


def train(model: str, cohort: Path, *more: str) -> str:
    return sequela("train", CONFIGS / "run" / f"{model}.yaml", *settings(cohort, *more))


def predictions(home: Home, run_id: str) -> pd.DataFrame:
    return pd.read_parquet(home.runs / run_id / "report" / "oof_predictions.parquet")


def test_a_run_killed_in_the_middle_is_resumed_with_the_same_numbers(home: Home, cohort: Path) -> None:
    words = [CONSOLE_SCRIPT, "train", CONFIGS / "run" / "network.yaml", *settings(cohort, SMALL_NETWORK, "name=killed")]
    process = subprocess.Popen([*map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(home.runs.glob("*/folds/fold-001.npy")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (folder,) = home.runs.iterdir()
    assert len(list((folder / "folds").glob("*.npy"))) < 4, "the run was over before it could be killed"

    sequela("train", CONFIGS / "run" / "network.yaml", *settings(cohort, SMALL_NETWORK, "name=killed"), "--resume")
    train("network", cohort, SMALL_NETWORK, "name=unbroken")

    client = open_store(home)
    killed, unbroken = find_run(client, "killed"), find_run(client, "unbroken")
    pd.testing.assert_frame_equal(predictions(home, killed.info.run_id), predictions(home, unbroken.info.run_id))
    assert killed.data.metrics == unbroken.data.metrics
    runs = client.search_runs([killed.info.experiment_id])
    parents = [run for run in runs if PARENT not in run.data.tags]
    folds = [run for run in runs if run.data.tags.get(PARENT) == killed.info.run_id]
    names = [run.info.run_name for run in parents]
    assert (names.count("killed"), names.count("unbroken")) == (1, 1)
    assert sorted(run.info.run_name for run in folds) == [f"fold {i}" for i in range(4)]
    ours = [*folds, *(run for run in parents if run.info.run_name in {"killed", "unbroken"})]
    assert {run.info.status for run in ours} == {"FINISHED"}


def test_two_processes_make_one_run_with_the_numbers_of_one(home: Home, cohort: Path) -> None:
    """To 1e-5, since gradients are added in another order; one process alone writes and tracks."""
    asked = ["validation.permutations=1", "validation.importance=1"]  # which takes fits beside those of the folds
    asked.append("alerts.per_patient_month=0.2")  # asks the models of the folds once more
    words = ["train", CONFIGS / "run" / "network.yaml", *settings(cohort, SMALL_NETWORK, *asked, "name=two")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    done = subprocess.run(
        [*torchrun, CONSOLE_SCRIPT, *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    train("network", cohort, SMALL_NETWORK, *asked, "name=one")
    client = open_store(home)
    two, one = find_run(client, "two"), find_run(client, "one")
    runs = client.search_runs([one.info.experiment_id])
    names = [run.info.run_name for run in runs if PARENT not in run.data.tags]
    assert (names.count("one"), names.count("two")) == (1, 1)
    together, alone = predictions(home, two.info.run_id), predictions(home, one.info.run_id)
    pd.testing.assert_frame_equal(together, alone, rtol=0, atol=1e-5)
    permuted = [
        json.loads((home.runs / r.info.run_id / "report" / "permutation_test.json").read_text()) for r in (two, one)
    ]
    np.testing.assert_allclose(permuted[0]["permuted"], permuted[1]["permuted"], atol=1e-4)
    made = [read_artifact(home.runs / r.info.run_id / "artifact").manifest for r in (two, one)]
    assert [one.name for one in made] == ["two", "one"]
    rules = [one.alerts for one in made if one.alerts is not None]
    assert [rule.n_events for rule in rules] == [rules[0].n_events] * 2
    assert [rule.threshold for rule in rules] == pytest.approx([rules[0].threshold] * 2, rel=0.1)
    assert not list(home.runs.rglob("*.ckpt"))


def test_resume_without_an_unfinished_run_says_so(home: Home, cohort: Path) -> None:
    words = [SEQUELA, "train", CONFIGS / "run" / "cox.yaml", *settings(cohort), "--resume"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no unfinished run of cox" in done.stderr


def test_train_compare_promote_serve_predict_agree(home: Home, cohort: Path, tmp_path: Path) -> None:
    train("cox", cohort)
    train("mixture", cohort, "model={kind: mixture, members: [{kind: cox, penalty: 50}, {kind: aalen_johansen}]}")
    client = open_store(home)

    board = sequela("leaderboard", "severe_infection", "--csv", tmp_path / "board.csv")
    assert "simulated" in board
    ranked = pd.read_csv(tmp_path / "board.csv")
    assert sorted(ranked["run"]) == ["cox", "mixture"]
    assert ranked["ibs/infection"].is_monotonic_increasing

    sequela("promote", "mixture", "--override", "150 patients are few")
    sequela("promote", "cox", "--override", "150 patients are few")
    champion = find_champion(client)
    assert champion.run_id == find_run(client, "cox").info.run_id

    expected = refitted(cohort, home)
    sequela("predict", "champion", cohort, "--out", tmp_path / "risks.parquet")
    batch = pd.read_parquet(tmp_path / "risks.parquet")
    assert len(batch) == 150 * 3 * 3
    np.testing.assert_allclose(batch["incidence"].to_numpy().reshape(150, 3, 3), expected, atol=1e-6)

    answer, example = ask_service(home, cohort, tmp_path / "served.parquet")
    assert answer["model"]["run_id"] == champion.run_id
    assert answer["model"]["provenance"] == "simulated"
    served = [answer["predictions"][0]["incidence"][cause] for cause in ("infection", "death", "relapse")]
    np.testing.assert_allclose(served, example, atol=1e-6)
    requested = pd.read_parquet(tmp_path / "served.parquet")
    rows = ["patient_id", "landmark_day", "cause", "horizon_days"]
    pd.testing.assert_frame_equal(requested[rows], batch[rows])
    np.testing.assert_allclose(requested["incidence"], batch["incidence"], atol=1e-6)

    sequela("promote", "--rollback", "severe_infection")
    assert find_champion(client).run_id == find_run(client, "mixture").info.run_id


def refitted(cohort: Path, home: Home) -> np.ndarray:
    """The final fit repeated in this process: risks (patients, causes, horizons) of everyone from day 0."""
    config = load_run(CONFIGS / "run" / "cox.yaml", [f"cohort={cohort}", *SMALL])
    rows = load_rows(cohort, read_endpoint(config.endpoint), config.features, home.features)
    model = fit_risk_model(
        rows.patients, rows.outcomes, rows.cohort.card, config.features, config.model, config.trainer, seed=config.seed
    )
    from experiments.data import all_patients

    patients = all_patients(rows.cohort, config.features.processing, home.features)
    return model.predict_incidence(patients, np.array(rows.endpoint.horizons_days)).values


def ask_service(home: Home, cohort: Path, requested: Path) -> tuple[dict, tuple]:  # type: ignore[type-arg]
    """Serve the champion, request the cohort, post its own example; the answer, and what the manifest expects."""
    client = open_store(home)
    champion = find_champion(client)
    manifest = read_artifact(run_artifact(client, find_run(client, champion.run_id))).manifest
    body = json.dumps({"patients": [manifest.example.patient.model_dump(mode="json")]}).encode()
    port = free_port()
    command, environment = serve_command(home, champion.bento_tag, "127.0.0.1", port)
    address = f"http://127.0.0.1:{port}"
    with running(command, environment, f"{address}/readyz", home.folder / "serve.log"):
        sequela("request", cohort, "--url", address, "--out", requested)
        request = urllib.request.Request(f"{address}/v1/predict", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer), manifest.example.incidence


def test_the_logged_model_loads_with_pickle_forbidden(home: Home, cohort: Path) -> None:
    train("cox", cohort)
    run = find_run(open_store(home), "cox")
    code = (
        "import os, sys, mlflow, pandas as pd; os.environ['MLFLOW_ALLOW_PICKLE_DESERIALIZATION'] = 'false';"
        f"mlflow.set_tracking_uri({home.tracking_uri!r});"
        f"model = mlflow.pyfunc.load_model('models:/{run.outputs.model_outputs[-1].model_id}');"
        "print(model.predict(pd.DataFrame({'patient': ['{}']})).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("(1, 9)")


def test_the_ui_starts_and_knows_the_experiment(home: Home) -> None:
    client = open_store(home)
    client.create_experiment("shown")
    port = free_port()
    command, environment = ui_command(home, "127.0.0.1", port)
    url = f"http://127.0.0.1:{port}"
    with running(command, environment, f"{url}/health", home.folder / "ui.log"):
        query = f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=shown"
        with urllib.request.urlopen(query, timeout=30) as answer:
            assert json.load(answer)["experiment"]["name"] == "shown"


@pytest.mark.timeout(900)
def test_the_demo_runs_twice(home: Home) -> None:
    for _ in range(2):
        printed = sequela("demo", "--patients", 100)
        for expected in ("mixture", "incidence", "workflowType=machine_learning", "http://127.0.0.1:3000/"):
            assert expected in printed
    assert (home.folder / "reports" / "demo" / "leaderboard.csv").exists()
