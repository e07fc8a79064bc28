"""`sequela reproduce`: a run made again from what was logged of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from custom_package import KIND, install, path_without_it
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.cli.reproduce import sentence
from experiments.comparing.leaderboard import leaderboards
from experiments.config import load_run
from experiments.home import CONFIGS, Home
from experiments.progress import Progress
from experiments.reproduction.check import Compared, RunFiles, compare, run_files
from experiments.reproduction.reproduce import REPRODUCES, Difference, Reproduction, recall, reproduce
from experiments.store import find_run, open_store
from experiments.train import train
from features.errors import SequelaError
from training.artifact.folder import read_artifact

SMALL = [
    "validation={folds: 3, bootstrap: 20}",
    "features={measurements: [], cells: []}",
    "trainer.accelerator=cpu",
]
NETWORK = "model={kind: network, members: 4, hidden: 4, max_epochs: 10}"
REPOSITORY = Path(__file__).resolve().parents[2]


def silent(_: str = "") -> Progress:
    return Progress(lambda *_: None, lambda *_: None)


@dataclass(frozen=True)
class Trained:
    """A finished network run."""

    home: Home
    client: MlflowClient
    run: Run
    files: RunFiles


@pytest.fixture(scope="module")
def trained(migrated: Path, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("reproduce")
    home = Home(folder / "store")
    home.folder.mkdir()
    shutil.copy(migrated, home.database)
    endpoint = Path(shutil.copy(CONFIGS / "endpoint" / "severe_infection.yaml", folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQUELA_HOME", str(home.folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        moved = Path(shutil.copytree(cohort, folder / "cohort"))
        words = [f"cohort={moved}", f"endpoint={endpoint}", NETWORK, *SMALL]
        client = open_store(home)
        result = train(load_run(CONFIGS / "run" / "network.yaml", words), home, silent())
        shutil.rmtree(moved)  # the cohort is elsewhere now,
        endpoint.write_text(endpoint.read_text().replace("[90, 180, 365]", "[100]"))  # and the endpoint another one
        client.log_metric(result.run_id, "added_ipa/infection", 0.01)  # as `sequela added-value` does
        run = client.get_run(result.run_id)
        yield Trained(home, client, run, run_files(client, run, folder / "files"))


def test_a_network_has_the_same_numbers_to_the_last_bit(trained: Trained, cohort: Path) -> None:
    client, home = trained.client, trained.home
    recalled = recall(client, home, trained.run, cohort)
    assert recalled.elsewhere == ()
    found = reproduce(client, home, recalled, silent)
    assert [one.what for one in found.compared][:3] == ["splits", "out-of-fold predictions", "metrics"]
    assert {one.difference for one in found.compared} == {0.0}
    assert found.differing == []
    again = client.get_run(found.run_id)
    assert again.data.tags[REPRODUCES] == trained.run.info.run_id
    assert again.info.experiment_id == trained.run.info.experiment_id
    assert find_run(client, "network").info.run_id == trained.run.info.run_id
    (board,) = leaderboards(client, "severe_infection")
    assert set(board.table["run"]) == {"network", "network-reproduced"}
    files = {file.path for file in client.list_artifacts(found.run_id)}
    assert {"run.yaml", "endpoints"} <= files
    assert "config.yaml" not in files


def test_what_cannot_be_made_again_is_said(trained: Trained, cohort: Path, tmp_path: Path) -> None:
    client, home, run = trained.client, trained.home, trained.run
    with pytest.raises(SequelaError, match=r"its cohort .* is not there; say where it is now by --cohort"):
        recall(client, home, run)
    other = Path(shutil.copytree(cohort, tmp_path / "other"))
    (other / "patients.csv").write_text((other / "patients.csv").read_text() + "\n")
    with pytest.raises(SequelaError, match=r"its files are not those that run network was trained on"):
        recall(client, home, run, other)
    child = client.create_run(run.info.experiment_id, run_name="begun")
    with pytest.raises(SequelaError, match="begun is RUNNING; only a finished run"):
        recall(client, home, child, cohort)
    client.set_terminated(child.info.run_id)
    with pytest.raises(SequelaError, match=r"run\.yaml is not in the store"):
        recall(client, home, client.get_run(child.info.run_id), cohort)


def test_other_code_packages_and_machines_are_named(trained: Trained, cohort: Path) -> None:
    tags = dict(trained.run.data.tags)
    changed = {
        "mlflow.source.git.commit": "0" * 40,
        "sequela.packages": tags["sequela.packages"].replace("numpy", "numpy 0.1, nothing"),
        "sequela.hardware": "an abacus",
    }
    then = Run(trained.run.info, trained.run.data, trained.run.inputs)
    then.data.tags.update(changed)
    try:
        elsewhere = recall(trained.client, trained.home, then, cohort).elsewhere
    finally:
        then.data.tags.update(tags)
    assert Difference("commit", "0" * 40, tags["mlflow.source.git.commit"]) in elsewhere
    assert Difference("numpy", "0.1", np.__version__) in elsewhere
    assert Difference("hardware", "an abacus", tags["sequela.hardware"]) in elsewhere
    assert "torch" not in {one.what for one in elsewhere}


def bumped(predictions: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    changed = predictions.copy()
    changed.loc[7, column] = value
    return changed


CHANGES: Mapping[str, tuple[Callable[[RunFiles], RunFiles], str, float, str]] = {
    "prediction": (
        lambda f: replace(f, predictions=bumped(f.predictions, "incidence", f.predictions["incidence"][7] + 1e-9)),
        "out-of-fold predictions",
        1e-9,
        "",
    ),
    "prediction that is missing": (
        lambda f: replace(f, predictions=bumped(f.predictions, "incidence", np.nan)),
        "out-of-fold predictions",
        np.inf,
        "",
    ),
    "patient": (
        lambda f: replace(f, predictions=bumped(f.predictions, "patient_id", "nobody")),
        "out-of-fold predictions",
        np.inf,
        "other patients",
    ),
    "fold": (lambda f: replace(f, splits=f.splits[::-1]), "splits", np.inf, "test patients"),
    "metric": (
        lambda f: replace(f, metrics={**f.metrics, "ibs/infection": f.metrics["ibs/infection"] + 3e-7}),
        "metrics",
        3e-7,
        "ibs/infection",
    ),
    "metric that is missing": (
        lambda f: replace(f, metrics={k: v for k, v in f.metrics.items() if k != "c/death"}),
        "metrics",
        np.inf,
        "c/death",
    ),
}


@pytest.mark.parametrize(("change", "what", "size", "where"), CHANGES.values(), ids=CHANGES)
def test_every_difference_is_seen_and_placed(
    trained: Trained, change: Callable[[RunFiles], RunFiles], what: str, size: float, where: str
) -> None:
    compared = list(compare(trained.files, change(trained.files)))
    (differing,) = [one for one in compared if one.difference]
    assert differing.what == what
    assert differing.difference == pytest.approx(size, rel=1e-3)
    assert where in differing.where


@pytest.mark.parametrize(
    ("compared", "tolerance", "expected"),
    [
        ([Compared("splits", 3, 0.0)], 0.0, "the same numbers, to the last bit"),
        ([Compared("metrics", 3, 3e-7)], 1e-6, "the same numbers, to within 1e-06"),
        (
            [Compared("metrics", 3, 3e-7, "ibs/infection"), Compared("predictions", 9, 1e-9)],
            0.0,
            "differs in metrics, predictions; largest difference 3e-07 in metrics (ibs/infection); here differ: numpy",
        ),
        (
            [Compared("metrics", 3, 3e-7), Compared("splits", 9, np.inf, "test patients")],
            1e-6,
            "differs in splits; other splits (test patients); here differ: numpy",
        ),
    ],
)
def test_one_sentence_says_it(compared: list[Compared], tolerance: float, expected: str) -> None:
    elsewhere = [Difference("numpy", "1", "2")]
    assert sentence(elsewhere, Reproduction("id", compared, tolerance)) == expected


def test_another_model_differs_in_weights_and_answers(trained: Trained) -> None:
    model = trained.files.artifact.model
    other = replace(model, predictor=type(model.predictor).from_state(*halved(model.predictor.state())))
    files = replace(trained.files, artifact=replace(trained.files.artifact, model=other))
    differing = {one.what: one for one in compare(trained.files, files) if one.difference}
    assert set(differing) == {"the model's weights", "the model's example"}
    assert all(isinstance(one, Compared) and 0 < one.difference < np.inf for one in differing.values())


def halved(state: tuple[dict, dict]) -> tuple[dict, dict]:  # type: ignore[type-arg]
    """Of every weight that is no time, a half."""
    sizes, arrays = state
    return sizes, {
        n: a / 2 if a.dtype.kind == "f" and "days" not in n and "edge" not in n else a for n, a in arrays.items()
    }


def test_a_custom_model_goes_the_whole_way_on_the_command_line(
    home: Home, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """init, train, reproduce (with numbers that someone changed since), predict; the package is found everywhere."""
    path = os.pathsep.join([str(REPOSITORY), str(install(tmp_path / "site"))])
    environment = {**os.environ, "PYTHONPATH": path, "SEQUELA_HOME": str(home.folder)}

    def sequela(*words: str | Path) -> subprocess.CompletedProcess[str]:
        script = Path(sys.executable).parent / "sequela"  # only a new process finds another package
        return subprocess.run([script, *map(str, words)], env=environment, capture_output=True, text=True, check=False)

    run = tmp_path / "mine.yaml"
    assert sequela("init", run, "--model", KIND, "--cohort", cohort).returncode == 0
    done = sequela("train", run, *[word for one in SMALL for word in ("--set", one)])
    assert done.returncode == 0, done.stderr
    client = open_store(home)
    logged = find_run(client, "mine")
    assert logged.data.tags["sequela.custom_models"] == "constant-hazards==0.1.0"
    requirements = next((home.mlflow_artifacts).rglob("requirements.txt")).read_text()
    assert "constant-hazards==0.1.0" in requirements
    monkeypatch.setattr(sys, "path", path_without_it())
    with pytest.raises(SequelaError, match="is the package that provides it installed"):
        read_artifact(home.runs / logged.info.run_id / "artifact")

    client.log_metric(logged.info.run_id, "ibs/infection", logged.data.metrics["ibs/infection"] + 3e-7)
    done = sequela("reproduce", "mine", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["run"], found["same"], found["elsewhere"]) == (logged.info.run_id, False, [])
    assert {one["what"] for one in found["compared"] if one["difference"]} == {"metrics"}
    done = sequela("predict", logged.info.run_id, cohort, "--out", tmp_path / "risks.csv")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "risks.csv")["incidence"].between(0, 1).all()
