"""How a service ends, and how it goes on when one of its workers does not."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import psutil

PATIENTS = {"patients": [{"baseline": {"age": 61.0}}] * 20}


Found = dict[str, tuple[float, object]]
"""By request id: when it ended, and its status or the error."""


def ask_until(stop: Callable[[], bool], url: str, name: str, found: Found) -> None:
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


def workers(server: Any) -> set[int]:
    found = set()
    for process in psutil.Process(server.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "worker.service" in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def answers(worker: int, url: str) -> bool:
    """Whether a worker has taken one of a few new connections, which it does once its model is loaded."""
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
            client.get("/readyz")
        held = psutil.Process(worker).net_connections("tcp")
    return any(connection.status == psutil.CONN_ESTABLISHED for connection in held)


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
    with start_server(tmp_path, env) as server:
        deadline = time.monotonic() + 60
        while len(before := workers(server)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        found: Found = {}
        over = threading.Event()
        thread = threading.Thread(target=ask_until, args=(over.is_set, server.url, "c", found))
        thread.start()
        time.sleep(1)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        while not (len(now := workers(server)) == 2 and victim not in now):
            assert time.monotonic() - killed < 10, "no new worker"
            time.sleep(0.1)
        (new,) = now - before
        while not answers(new, server.url):
            assert time.monotonic() - killed < 60, "the new worker does not answer"  # most of it is importing torch
        over.set()
        thread.join()
    failed = [outcome for _, outcome in found.values() if outcome != 200]
    assert len(failed) <= 2, failed  # what the killed one was answering
    assert sum(outcome == 200 for when, outcome in found.values() if when > killed) > 20
