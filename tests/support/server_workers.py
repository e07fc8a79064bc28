"""Workers of a running service, and how long it takes until a killed one is replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil

NOTICED_SECONDS, BACK_SECONDS = 8, 20
"""Alone on a machine it takes 1 and 3; a new worker imports PyTorch, which beside other work takes its time."""


def workers(server: Any) -> set[int]:
    """Their process ids."""
    found = set()
    for process in psutil.Process(server.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "worker.service" in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def answering(server: Any, n_workers: int) -> set[int]:
    """The workers, once there are so many and all of them answer."""
    _until(lambda: len(workers(server)) == n_workers and all(_answers(one, server.url) for one in workers(server)))
    return workers(server)


def killed_and_back(server: Any, n_workers: int = 2) -> tuple[float, float]:
    """Kill one of the workers; seconds until there is a new one, and until it answers."""
    before = answering(server, n_workers)
    os.kill(min(before), signal.SIGKILL)
    killed = time.monotonic()
    _until(lambda: bool(workers(server) - before))
    replaced = time.monotonic()
    _until(lambda: any(_answers(new, server.url) for new in workers(server) - before))
    return replaced - killed, time.monotonic() - killed


def _answers(worker: int, url: str) -> bool:
    """Whether a worker has taken one of a few new connections, which it does once its model is loaded."""
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
            client.get("/readyz")
        with contextlib.suppress(psutil.Error):
            held = psutil.Process(worker).net_connections("tcp")
            return any(connection.status == psutil.CONN_ESTABLISHED for connection in held)
    return False


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "not all workers answer within a minute"
        time.sleep(0.1)
