"""A service that follows its champion: promotions under load, and models that are refused."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serving.champions import ExportedChampion, read_champion, write_champion
from serving.store import publish
from training.artifact.folder import answer_example, model_block, read_artifact, write_artifact
from training.config import CoxConfig, TrainerConfig
from training.fit import fit_risk_model

CURVE_PATIENT = {"patient_id": "p", "baseline": {"age": 61.0, "ecog": "1", "product": "axi-cel"}}


def export(path: Path, tag: str) -> None:
    """As `sequela promote` does."""
    now = datetime.now(UTC)
    write_champion(path, ExportedChampion(endpoint="e", tag=tag, version="1", run_id="r", exported_at=now))


@pytest.fixture(scope="module")
def store(tag: str, store_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of its own, with the model of all tests."""
    folder = tmp_path_factory.mktemp("followed")
    shutil.copytree(store_home, folder / "bentoml")
    return folder


@pytest.fixture(scope="module")
def other(cohort: Any, artifact_dir: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another model of the same endpoint in that store: stronger penalised, so that its answers differ."""
    from tests.serving.conftest import CARD, FEATURES  # the cohort's

    fitted = fit_risk_model(
        cohort.patients,
        cohort.outcomes,
        CARD,
        FEATURES,
        CoxConfig(penalty=1e4),
        TrainerConfig(accelerator="cpu"),
        seed=2,
    )
    block, arrays = model_block(fitted)
    manifest = read_artifact(artifact_dir).manifest
    patient, times = manifest.example.patient, manifest.example.times_days
    example = manifest.example.model_copy(update={"incidence": answer_example(fitted, patient, times)})
    changed = {"name": "successor", "model": block, "features": fitted.encoder.feature_names, "example": example}
    changed |= {"novelty": None, "counts": None}  # as in artifacts of before
    folder = tmp_path_factory.mktemp("successor") / "artifact"
    write_artifact(folder, manifest.model_copy(update=changed), arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(store / "bentoml"))
        return publish(folder, {"registry_version": "4"})


@pytest.fixture(scope="module")
def followed(store: Path, tag: str, other: str, start_server: Any) -> Iterator[tuple[Any, Path]]:
    """A server that follows a file, and the file."""
    path = store / "champions" / "e.json"
    export(path, tag)
    env = {"BENTOML_HOME": str(store / "bentoml"), "SEQUELA_MODEL": tag, "SEQUELA_FOLLOW": str(path)}
    with start_server(store, env) as server:
        yield server, path


def until(client: httpx.Client, holds: Callable[[httpx.Response], bool], seconds: float = 15) -> httpx.Response:
    """/readyz, once it says what is waited for."""
    deadline = time.monotonic() + seconds
    while not holds(answer := client.get("/readyz")):
        assert time.monotonic() < deadline, dict(answer.headers)
        time.sleep(0.1)
    return answer


def serves(tag: str) -> Callable[[httpx.Response], bool]:
    return lambda answer: answer.headers["x-sequela-model"] == tag


def test_promotions_under_load_drop_nothing_and_mix_nothing(followed: Any, tag: str, other: str) -> None:
    server, path = followed
    answers: list[tuple[str, tuple[float, ...]]] = []
    failures: list[object] = []
    stop = threading.Event()

    def load() -> None:
        with server.client() as client:
            while not stop.is_set():
                answer = client.post("/v1/predict", json={"patients": [CURVE_PATIENT] * 3})
                if answer.status_code != 200:
                    failures.append(answer.text)
                    continue
                body = answer.json()
                found = {tuple(np.round(p["incidence"]["infection"], 5)) for p in body["predictions"]}
                answers.extend((body["model"]["version"], one) for one in found)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    with server.client() as client:
        for turn in range(6):
            wanted = (other, tag)[turn % 2]
            export(path, wanted)
            until(client, serves(wanted))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    by_model = {version: {one for name, one in answers if name == version} for version in (tag, other)}
    assert {len(found) for found in by_model.values()} == {1}  # each always answers the same,
    (first,), (second,) = by_model.values()
    assert np.abs(np.subtract(first, second)).max() > 1e-3  # and they differ


def test_a_damaged_model_leaves_the_old_one_serving_until_it_is_mended(
    followed: Any, store: Path, tag: str, other: str
) -> None:
    server, path = followed
    (weights,) = (store / "bentoml").rglob(f"{other.partition(':')[2]}/artifact/weights.safetensors")
    with server.client() as client:
        export(path, tag)
        until(client, serves(tag))
        kept = weights.read_bytes()
        weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        export(path, other)
        answer = until(client, lambda answer: "x-sequela-refused" in answer.headers)
        assert answer.status_code == 200
        assert (answer.headers["x-sequela-model"], answer.headers["x-sequela-refused"]) == (tag, other)
        said = client.get("/v1/model")
        assert said.json()["refused"] == {"version": other}
        assert str(store) not in said.text
        assert f"Model {other} is not served: " in server.log.read_text()
        assert "does not match its sha256" in server.log.read_text()
        assert client.post("/v1/predict", json={"patients": [{}]}).json()["model"]["version"] == tag
        weights.write_bytes(kept)
        export(path, other)
        answer = until(client, serves(other))
        assert "x-sequela-refused" not in answer.headers
        assert client.get("/v1/model").json()["refused"] is None


@pytest.mark.parametrize("content", ["", "{}", '{"tag": 3}', "sequela:v1"])
def test_a_file_that_names_no_model_changes_nothing(followed: Any, tag: str, content: str) -> None:
    server, path = followed
    with server.client() as client:
        export(path, tag)
        until(client, lambda answer: serves(tag)(answer) and "x-sequela-refused" not in answer.headers)
        path.write_text(content)
        answer = until(client, lambda answer: "x-sequela-refused" in answer.headers)
        assert answer.headers["x-sequela-model"] == tag
        assert client.post("/v1/predict", json={"patients": [{}]}).status_code == 200


def test_what_is_exported_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "champions" / "e.json"
    export(path, "sequela:v1")
    assert read_champion(path).tag == "sequela:v1"
    assert list(path.parent.iterdir()) == [path]
    assert json.loads(path.read_text())["endpoint"] == "e"
