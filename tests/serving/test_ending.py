"""How a service ends, and how it goes on when one of its workers does not."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
from server_workers import BACK_SECONDS, NOTICED_SECONDS, killed_and_back, workers

from serving.workers import MOST_REPLACED

PATIENTS = {"patients": [{"baseline": {"age": 61.0}}] * 20}


Found = dict[str, tuple[float, object]]
"""By request id: when it ended, and its status or the error."""


def ask_until(stop: Callable[[], bool], url: str, name: str, found: Found, pause_seconds: float = 0) -> None:
    """Ask again and again over one connection."""
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for number in itertools.count():
            if stop():
                return
            request_id, outcome = f"{name}-{number}", cast("object", None)
            try:
                outcome = client.post("/v1/predict", json=PATIENTS, headers={"x-request-id": request_id}).status_code
            except httpx.TransportError as error:
                outcome = type(error).__name__
                time.sleep(0.05)
            found[request_id] = (time.monotonic(), outcome)
            time.sleep(pause_seconds)


def test_what_was_taken_up_is_answered_after_the_signal_to_end(
    start_server: Any, store_home: Path, tag: str, tmp_path: Path
) -> None:
    """The audit log tells what was taken up: all of that arrived at whoever asked, and new requests are refused."""
    audit = tmp_path / "audit.jsonl"
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_AUDIT": str(audit)}
    found: Found = {}
    with start_server(tmp_path, env) as server:
        over = threading.Event()
        asked = (over.is_set, server.url)
        threads = [threading.Thread(target=ask_until, args=(*asked, f"c{i}", found)) for i in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        os.kill(server.pid, signal.SIGTERM)
        process = psutil.Process(server.pid)
        time.sleep(5)
        over.set()
        for thread in threads:
            thread.join()
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    taken_up = {json.loads(line)["request_id"] for line in audit.read_text().splitlines()}
    assert len(taken_up) > 20
    assert {request_id: found[request_id][1] for request_id in taken_up} == dict.fromkeys(taken_up, 200)
    assert "ConnectError" in {outcome for _, outcome in found.values()}


def test_a_killed_worker_comes_back_and_the_others_answer(
    start_server: Any, store_home: Path, tag: str, tmp_path: Path
) -> None:
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_WORKERS": "2"}
    found: Found = {}
    over = threading.Event()
    with start_server(tmp_path, env) as server:
        thread = threading.Thread(target=ask_until, args=(over.is_set, server.url, "c", found, 0.05))
        thread.start()
        try:
            replaced, back = killed_and_back(server)
        finally:
            over.set()
            thread.join()
    assert replaced < NOTICED_SECONDS
    assert back < BACK_SECONDS
    ended = max(when for when, _ in found.values())
    failed = [outcome for _, outcome in found.values() if outcome != 200]
    assert len(failed) <= 2, failed  # what the killed one was answering
    assert sum(outcome == 200 for when, outcome in found.values() if when > ended - back) > 20


def test_a_service_whose_workers_die_for_ever_ends(
    start_server: Any, store_home: Path, tag: str, tmp_path: Path
) -> None:
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag}
    killed: set[int] = set()
    with start_server(tmp_path, env) as server:
        service = psutil.Process(server.pid)
        deadline = time.monotonic() + 30
        while service.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it goes on"
            for worker in workers(server):
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                    killed.add(worker)
            time.sleep(0.2)
        assert "the service ends" in server.log.read_text()
    assert len(killed) == MOST_REPLACED + 1
