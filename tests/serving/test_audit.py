"""Who asked for whom: kept whole, without names or values, by several processes at once."""

from __future__ import annotations

import hashlib
import hmac
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from features.errors import SequelaError
from serving.asking import Asking
from serving.audit import AuditLog
from serving.keys import add_key
from serving.pseudonyms import Pseudonyms

ENTRIES = 200
AUDITED = ("/v1/predict", "/v1/explain", "/v1/scores")


def entries(folder: Path) -> list[dict[str, Any]]:
    lines = [
        line for path in folder.glob("audit.jsonl*") if path.suffix != ".key" for line in path.read_text().splitlines()
    ]
    return [json.loads(line) for line in lines]


def write_many(path: Path, worker: int, max_bytes: int) -> None:
    log = AuditLog(path, max_bytes)
    for i in range(ENTRIES):
        log.write(Asking(f"{worker}-{i}", "0a1b2c3d"), "predict", "sequela:1", 200, [f"patient-{i}"] * 3)


@pytest.mark.parametrize("max_bytes", [2**30, 5_000], ids=["one file", "many"])
def test_several_workers_lose_and_mix_nothing_over_full_files(tmp_path: Path, max_bytes: int) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_many, args=(path, worker, max_bytes)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    found = entries(tmp_path)
    assert {entry["request_id"] for entry in found} == {f"{w}-{i}" for w in range(3) for i in range(ENTRIES)}
    assert len(found) == 3 * ENTRIES
    files = [file for file in tmp_path.iterdir() if file.suffix != ".key"]
    assert all(file.stat().st_size <= max_bytes + 2_000 for file in files)
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.iterdir()), "others could read them"
    assert (len(files) > 10) == (max_bytes == 5_000)


def test_a_patient_is_a_keyed_hash_that_its_keeper_can_compute(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).write(Asking("r"), "explain", None, 503, ["Jane Doe"])
    (entry,) = entries(tmp_path)
    key = (tmp_path / "audit.jsonl.key").read_bytes()
    assert entry["patients"] == [hmac.new(key, b"Jane Doe", hashlib.sha256).hexdigest()[:32]]
    assert (entry["action"], entry["model"], entry["status"], entry["key"]) == ("explain", None, 503, None)
    assert b"Jane" not in path.read_bytes()
    AuditLog(path).write(Asking("s"), "explain", None, 503, ["Jane Doe"])
    assert {tuple(entry["patients"]) for entry in entries(tmp_path)} == {tuple(entry["patients"])}


@pytest.mark.parametrize("content", [b"", b"f" * 63, b"f" * 64 + b"\n"])
def test_a_key_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "audit.jsonl.key").write_bytes(content)
    with pytest.raises(SequelaError, match=r"audit\.jsonl\.key: is no key of pseudonyms"):
        AuditLog(tmp_path / "audit.jsonl")


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match=r"gone/audit\.jsonl: cannot be written"):
        AuditLog(tmp_path / "gone" / "audit.jsonl")


@pytest.fixture(scope="module")
def guarded(start_server: Any, store_home: Path, tag: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A service with keys, an audit log and JSON lines in its log; its folder, its address, and a key."""
    folder = tmp_path_factory.mktemp("audited")
    key, token = add_key(folder / "keys.json", "ward", ["predict", "explain", "admin"])
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_KEYS": str(folder / "keys.json")}
    env |= {"SEQUELA_AUDIT": str(folder / "audit.jsonl"), "SEQUELA_LOG": "json", "SEQUELA_WORKERS": "2"}
    with start_server(folder, env) as server:
        yield folder, server, key, token


def test_the_service_keeps_who_asked_for_whom(guarded: Any, tag: str) -> None:
    folder, server, key, token = guarded
    asked = {"authorization": f"Bearer {token}"}
    with server.client() as client:
        fine = client.post(
            "/v1/predict",
            json={"patients": [{"patient_id": "Jane Doe", "baseline": {"age": 61.0}}]},
            headers=asked | {"x-request-id": "from-the-ward.7"},
        )
        made = client.post("/v1/explain", json={"patients": [{"patient_id": "John"}]}, headers=asked)
        faulty = client.post("/v1/predict", json={"patients": [{"baseline": {"age": 300}}]}, headers=asked)
        scored = client.post("/v1/scores", json={"patients": [{"patient_id": "Jane Doe"}]}, headers=asked)
        unknown = client.post("/v1/predict", json={"patients": [{}]}, headers={"x-request-id": "<script>"})
        time.sleep(2)  # counters are told once a second
        metrics = client.get("/metrics", headers=asked).text
        client.get("/v1/patients/Jane-Doe")
        after = client.get("/metrics", headers=asked).text
    assert "Jane" not in after, "a path is no label"
    assert (fine.status_code, made.status_code, faulty.status_code, unknown.status_code) == (200, 200, 400, 401)
    assert scored.status_code == 200
    assert fine.headers["x-request-id"] == "from-the-ward.7"
    assert unknown.headers["x-request-id"] != "<script>"
    log = AuditLog(folder / "audit.jsonl")
    found = {entry["request_id"]: entry for entry in entries(folder)}
    assert set(found) == {answer.headers["x-request-id"] for answer in (fine, made, faulty, scored)}
    score = found[scored.headers["x-request-id"]]
    assert (score["action"], score["model"]) == ("score", None)
    first = found["from-the-ward.7"]
    assert score["patients"] == first["patients"]
    assert (first["key"], first["action"], first["model"], first["status"]) == (key.id, "predict", tag, 200)
    assert first["patients"] == [Pseudonyms(log.path.with_name(f"{log.path.name}.key")).of("Jane Doe")]
    assert found[faulty.headers["x-request-id"]]["status"] == 400
    assert f'sequela_predicted_patients_total{{model="{tag}"}} 1.0' in metrics
    assert 'feature="baseline.crp",how="missing"' in metrics
    assert 'sequela_request_seconds_count{path="/v1/predict",status="401"} 1.0' in metrics
    kept = (folder / "audit.jsonl").read_text() + server.log.read_text() + metrics
    assert not [said for said in ("Jane", "John", token, token.split("-")[-1], "61.0") if said in kept]


def test_every_line_of_the_log_is_json(guarded: Any) -> None:
    _, server, _, _ = guarded
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    assert any("Serving sequela:" in line["message"] for line in lines)


def test_what_cannot_be_audited_is_not_answered(guarded: Any) -> None:
    folder, server, _, token = guarded
    aside = folder / "aside"
    (folder / "audit.jsonl").rename(aside)
    (folder / "audit.jsonl").mkdir()
    try:
        with server.client() as client:
            asked = {"authorization": f"Bearer {token}"}
            responses = [client.post(path, json={"patients": [{}]}, headers=asked) for path in AUDITED]
        for response in responses:
            assert response.status_code == 503
            assert response.json()["rule"] == "the audit log cannot be written; the server's log says why"
    finally:
        (folder / "audit.jsonl").rmdir()
        aside.rename(folder / "audit.jsonl")
