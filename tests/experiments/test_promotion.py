"""Promotion on a real MLflow store: refused, overridden, rolled back, killed in the middle, and two at once."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from preloaded import SEQUELA

from experiments.home import Home
from experiments.promotion.candidate import Candidate
from experiments.promotion.gate import Gate
from experiments.promotion.history import CHALLENGER, CHAMPION, PREVIOUS, by_alias, entries
from experiments.promotion.promote import RefusedError, challenge, promote, rollback
from experiments.promotion.registry import challenger_tag
from experiments.store import find_run, open_store
from features.cohort import write_yaml
from features.documents import load_mapping
from features.errors import SequelaError
from features.simulator import simulate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what BentoML imports
    importlib.import_module("bentoml.models")

ENDPOINT = "severe_infection"
OPEN = Gate.model_validate({"name": "open", "example": {}})
"""Lets every sound model pass."""
NO_WORSE = Gate.model_validate({"name": "no worse", "champion": {"margin": 0.02}, "example": {}, "leaks": {}})
RUNS = {
    "good": (20.0, 0, "cohort"),
    "second": (30.0, 0, "cohort"),
    "worse": (1e6, 0, "cohort"),
    "other_splits": (20.0, 1, "cohort"),
    "leaky": (20.0, 0, "planted"),
}
"""Penalty of a Cox model, seed of its splits, and cohort; the penalty of 10⁶ leaves nothing of the features."""


@dataclass(frozen=True)
class Trained:
    """A store in which runs were made and nothing was promoted, and what was said of them."""

    home: Home
    said: str


@pytest.fixture(scope="module")
def trained(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """All runs in one process, each from a file of its own; the last on patients with a planted leak."""
    folder = tmp_path_factory.mktemp("promotion")
    home = Home(folder / "store")
    home.folder.mkdir()
    shutil.copy(migrated, home.database)
    simulate(folder / "cohort", n_patients=300, cells_per_sample=0, seed=5)
    plant(folder / "cohort", folder / "planted")
    endpoint = {"name": ENDPOINT, "event": {"name": "infection", "min_grade": 3}, "horizons_days": [365]}
    write_yaml(folder / "endpoint.yaml", endpoint | {"competing": [{"name": "death"}, {"name": "relapse"}]})
    for name, (penalty, seed, cohort) in RUNS.items():
        run = {
            "experiment": "promotion",
            "cohort": cohort,
            "endpoint": "endpoint.yaml",
            "features": {"cells": []},
            "model": {"kind": "cox", "penalty": penalty},
            "validation": {"folds": 3, "bootstrap": 50},
            "seed": seed,
        }
        write_yaml(folder / f"{name}.yaml", run)
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [SEQUELA, "train", *(folder / f"{name}.yaml" for name in RUNS)],
        env=environment | {"SEQUELA_HOME": str(home.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Trained(home, done.stderr)


def plant(sound: Path, planted: Path) -> None:
    """A copy of a cohort with a column that knows who met a severe infection, give or take."""
    shutil.copytree(sound, planted)
    patients, events = (pd.read_csv(sound / f"{table}.csv") for table in ("patients", "events"))
    severe = events[(events["event"] == "infection") & (events["grade"] >= 3)]["patient_id"]
    noise = np.random.default_rng(0).normal(scale=0.2, size=len(patients))
    patients["icu_score"] = patients["patient_id"].isin(severe) + noise
    patients.to_csv(planted / "patients.csv", index=False)
    card = load_mapping(sound / "cohort.yaml")
    card["variables"]["icu_score"] = {"kind": "numeric"}
    write_yaml(planted / "cohort.yaml", card)


@pytest.fixture
def home(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of that store, whose runs were made elsewhere: their files come from the store."""
    store = Home(tmp_path / "store")
    store.folder.mkdir()
    shutil.copy(trained.home.database, store.database)
    monkeypatch.setenv("SEQUELA_HOME", str(store.folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return store


@pytest.fixture
def client(home: Home) -> MlflowClient:
    return open_store(home)


@pytest.fixture
def put(client: MlflowClient, home: Home) -> Callable[..., str]:
    """`put(name, gate)` promotes a run and gives its version."""

    def _put(name: str, gate: Gate = OPEN, override: str | None = None) -> str:
        return promote(Candidate(client, home, find_run(client, name)), gate, override=override).champion.version

    return _put


def alias(client: MlflowClient, name: str) -> str | None:
    version = by_alias(client, ENDPOINT, name)
    return None if version is None else str(version.version)


def test_a_worse_model_is_refused_and_an_override_recorded(home: Home, put: Callable[..., str], tmp_path: Path) -> None:
    """Through the command line: exit 1 and nothing moved, then moved with the reason on the version."""
    client = open_store(home)
    good = put("good", NO_WORSE)
    path = tmp_path / "gate.yaml"
    path.write_text("champion: {margin: 0.02}\nexample: {}\n")

    def sequela(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(SEQUELA), "promote", "worse", "--gate", str(path), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    refused = sequela()
    assert refused.returncode == 1
    assert "failed ipa against the champion from day 0" in refused.stderr
    assert "gate gate refuses it: failed ipa against the champion from day 0" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert (alias(client, CHAMPION), alias(client, PREVIOUS)) == (good, None)
    worse = client.search_model_versions(f"run_id = '{find_run(client, 'worse').info.run_id}'")[0]
    assert json.loads(worse.tags["sequela.verdict"])["passed"] is False
    assert "sequela.override" not in worse.tags

    moved = sequela("--override", "the good one's licence ended")
    assert moved.returncode == 0, moved.stderr
    assert (alias(client, CHAMPION), alias(client, PREVIOUS)) == (str(worse.version), good)
    tags = client.get_model_version(ENDPOINT, worse.version).tags
    assert tags["sequela.override"] == "the good one's licence ended"
    assert tags["sequela.replaced"] == good
    assert tags["sequela.promoted_by"]
    assert "sequela.demoted_at" in client.get_model_version(ENDPOINT, good).tags
    verdict = json.loads(Path(client.download_artifacts(worse.run_id, "gate.json")).read_text())
    (against, *_) = [check for check in verdict["checks"] if check["part"] == "champion"]
    assert against["status"] == "failed"
    assert against["low"] < -0.02
    last = entries(client, ENDPOINT)[-1]
    assert (last.action, last.passed, last.override) == ("promoted", False, "the good one's licence ended")


def test_no_patient_is_named_in_the_registry(home: Home, put: Callable[..., str], client: MlflowClient) -> None:
    put("good", NO_WORSE.model_copy(update={"champion": None}))
    put("second", NO_WORSE)
    model = client.get_registered_model(ENDPOINT)
    told = [model.tags, *(version.tags for version in client.search_model_versions(f"name = '{ENDPOINT}'"))]
    run = find_run(client, "second").info.run_id
    text = json.dumps(told) + Path(client.download_artifacts(run, "gate.json")).read_text()
    splits = json.loads(Path(client.download_artifacts(run, "splits.json")).read_text())
    assert not any(patient in text for fold in splits for patient in fold["test_patients"])


def test_an_equal_model_passes_and_other_splits_cannot_be_compared(
    client: MlflowClient, home: Home, put: Callable[..., str]
) -> None:
    good = put("good", NO_WORSE)
    with pytest.raises(RefusedError) as refused:
        put("other_splits", NO_WORSE)
    (check,) = refused.value.verdict.failed
    assert "other cross-validation splits" in check.remark
    assert "train the champion's configuration" in check.remark
    assert alias(client, CHAMPION) == good
    lenient = {"margin": 0.02, "when_not_comparable": "pass"}
    put("other_splits", Gate.model_validate({"name": "lenient", "champion": lenient, "example": {}}))
    put("good", OPEN)
    assert put("second", NO_WORSE) == alias(client, CHAMPION)


def test_rolling_back_twice_goes_back_two_and_is_recorded(
    client: MlflowClient, home: Home, put: Callable[..., str]
) -> None:
    first, second, third = put("good"), put("second"), put("worse")
    assert rollback(client, home, ENDPOINT).version == second
    assert (alias(client, CHAMPION), alias(client, PREVIOUS)) == (second, first)
    assert rollback(client, home, ENDPOINT).version == first
    assert (alias(client, CHAMPION), alias(client, PREVIOUS)) == (first, None)
    with pytest.raises(SequelaError, match="no previous champion"):
        rollback(client, home, ENDPOINT)
    history = entries(client, ENDPOINT)
    assert [(e.version, e.replaced, e.action) for e in history] == [
        (first, None, "promoted"),
        (second, first, "promoted"),
        (third, second, "promoted"),
        (second, third, "rolled back"),
        (first, second, "rolled back"),
    ]
    assert all(e.done and e.at and e.by for e in history)
    put("worse")
    assert rollback(client, home, ENDPOINT).version == first

    listed = subprocess.run([SEQUELA, "promote", "--history", ENDPOINT], capture_output=True, text=True, check=True)
    assert listed.stdout.count("promoted") == 4
    assert listed.stdout.count("rolled back") == 3


def test_a_challenger_is_judged_serves_nobody_and_ends_as_champion(
    client: MlflowClient, home: Home, put: Callable[..., str]
) -> None:
    good = put("good")
    judged = challenge(Candidate(client, home, find_run(client, "worse")), NO_WORSE)
    assert not judged.verdict.passed
    assert (alias(client, CHAMPION), alias(client, CHALLENGER)) == (good, judged.champion.version)
    assert put("worse") == judged.champion.version
    assert alias(client, CHALLENGER) is None
    with pytest.raises(SequelaError, match=r"no challenger of .*; make one with `sequela promote RUN --challenger`"):
        challenger_tag(client, ENDPOINT)
    assert len(entries(client, ENDPOINT)) == 2


def test_a_champion_set_by_other_means_is_noted(client: MlflowClient, home: Home, put: Callable[..., str]) -> None:
    first, second = put("good"), put("second")
    client.set_registered_model_alias(ENDPOINT, CHAMPION, first)  # as the UI does
    third = put("worse")
    assert [(e.version, e.action) for e in entries(client, ENDPOINT)][1:] == [
        (second, "promoted"),
        (first, "set outside"),
        (third, "promoted"),
    ]
    assert rollback(client, home, ENDPOINT).version == first


class Killed(BaseException):
    """What no code of ours catches."""


WRITES = (
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_registered_model_tag",
    "delete_registered_model_tag",
    "set_model_version_tag",
)


class Mortal(MlflowClient):  # type: ignore[misc]
    """A client that dies at its n-th write to the registry, before it."""

    def __init__(self, uri: str, lives: int) -> None:
        super().__init__(uri)
        self.lives = lives

    def __getattribute__(self, name: str) -> Any:
        if name in WRITES:
            self.lives -= 1
            if self.lives < 0:
                raise Killed
        return super().__getattribute__(name)


def test_wherever_it_is_killed_the_champion_is_the_one_before_or_after(
    client: MlflowClient, home: Home, put: Callable[..., str]
) -> None:
    first, second = put("good"), put("second")
    before, tried, ends = home.folder / "before.db", 0, set()
    shutil.copy(home.database, before)
    while True:
        shutil.copy(before, home.database)
        mortal = Mortal(home.tracking_uri, tried)
        try:
            promote(Candidate(mortal, home, find_run(client, "worse")), OPEN)
        except Killed:
            tried += 1
        else:
            break
        left = alias(client, CHAMPION)
        third = put("worse")
        ends.add("before" if left == second else "after" if left == third else "neither")
        assert (alias(client, CHAMPION), alias(client, PREVIOUS)) == (third, second)
        history = entries(client, ENDPOINT)
        assert [(e.version, e.replaced) for e in history] == [(first, None), (second, first), (third, second)]
        assert all(e.done for e in history)
        assert client.get_model_version(ENDPOINT, third).tags["sequela.replaced"] == second
    assert tried > 8, "it was not killed at every step"
    assert ends == {"before", "after"}


PROMOTE = """
import os, signal, sys
from mlflow import MlflowClient
from experiments.promotion.candidate import Candidate
from experiments.promotion.gate import Gate
from experiments.home import Home
from experiments.promotion.promote import promote
from experiments.store import find_run, open_store

name, kill = sys.argv[1:]
move = MlflowClient.set_registered_model_alias

def then_die(self, *words):
    move(self, *words)
    os.kill(os.getpid(), signal.SIGKILL)

if kill == "kill":
    MlflowClient.set_registered_model_alias = then_die
home = Home.current()
client = open_store(home)
promote(Candidate(client, home, find_run(client, name)), Gate.model_validate({"name": "open", "example": {}}))
"""


def process(name: str, end: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROMOTE, name, end]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_a_killed_process_leaves_a_champion_and_the_next_promotion_repairs_the_rest(
    client: MlflowClient, home: Home, put: Callable[..., str]
) -> None:
    first = put("good")
    killed = process("second", "kill")
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    second = alias(client, CHAMPION)
    assert second not in (None, first)
    assert alias(client, PREVIOUS) is None
    assert [e.done for e in entries(client, ENDPOINT)] == [True, False]
    third = put("worse")
    assert alias(client, PREVIOUS) == second
    assert [(e.version, e.done) for e in entries(client, ENDPOINT)] == [(first, True), (second, True), (third, True)]


def test_two_processes_at_once_lose_no_history(client: MlflowClient, home: Home, put: Callable[..., str]) -> None:
    first = put("good")
    both = [process(name, "live") for name in ("second", "worse")]
    for one in both:
        _, told = one.communicate(timeout=120)
        assert one.returncode == 0, told
    (_, former, latter) = entries(client, ENDPOINT)
    assert (former.replaced, latter.replaced) == (first, former.version)
    assert former.done
    assert latter.done
    assert (alias(client, CHAMPION), alias(client, PREVIOUS)) == (latter.version, former.version)


def test_a_reason_is_asked_for(put: Callable[..., str]) -> None:
    with pytest.raises(SequelaError, match="--override: says why"):
        put("worse", OPEN, "  ")


def test_a_leak_is_named_when_trained_and_refused_by_the_gate_until_overridden(
    trained: Trained, client: MlflowClient, put: Callable[..., str]
) -> None:
    assert trained.said.count("leak suspect") == 1
    assert re.search(
        r"leak suspect: baseline.icu_score: icu_score tells infection by \d+ days from day 0", trained.said
    )
    assert find_run(client, "good").data.tags["sequela.leak_suspects"] == "none"
    leaky = find_run(client, "leaky")
    assert leaky.data.tags["sequela.leak_suspects"] == "baseline.icu_score"
    (written,) = json.loads(Path(client.download_artifacts(leaky.info.run_id, "leak_suspects.json")).read_text())
    assert written["source"] == "baseline.icu_score"
    gate = Gate.model_validate({"name": "leaks", "leaks": {}, "example": {}})
    with pytest.raises(RefusedError) as refused:
        put("leaky", gate)
    (check,) = refused.value.verdict.failed
    assert "suspected: baseline.icu_score" in check.remark
    assert put("leaky", gate, "icu_score is taken on day 0") == alias(client, CHAMPION)
