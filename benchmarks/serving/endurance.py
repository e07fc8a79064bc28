"""Does a service that answers for a long time stay as fast, and its memory as it was?

    python -m benchmarks.serving.endurance --requests 200000

The demo's model (``--home``, else it is made first), 16 connections, one patient a request, as fast as it answers.
Latency by minute, and the resident memory of all processes of the server after 10,000 requests and from then on.
Writes ``results/serving_endurance.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.serving.load import Answer, closed_loop
from benchmarks.serving.speed import LOAD_CORE, on_one_core, prepare

RESULT = Path(__file__).parents[1] / "results" / "serving_endurance.md"
CONNECTIONS = 16
SETTLED = 10_000
"""Requests after which memory is first looked at."""
LOOK_SECONDS = 10.0


def resident(port: int) -> float:
    """MiB of the processes that listen on a port, and of those they started."""
    owners = [c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == "LISTEN"]
    top = {pid for pid in owners if pid is not None}
    processes = {child for pid in top for child in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]}
    return sum(process.memory_info().rss for process in processes) / 2**20


def endure(
    port: int, request: bytes, requests: int
) -> tuple[list[tuple[int, float]], list[tuple[float, list[Answer]]]]:
    """Memory by number of requests, and the answers of each stretch."""
    memory: list[tuple[int, float]] = []
    stretches: list[tuple[float, list[Answer]]] = []
    done, began = 0, time.perf_counter()
    while done < requests:
        at = time.perf_counter() - began
        answers = asyncio.run(closed_loop(port, request, CONNECTIONS, LOOK_SECONDS))
        done += len(answers)
        stretches.append((at, answers))
        memory.append((done, resident(port)))
        print(f"{done:,} requests, {memory[-1][1]:.0f} MiB", flush=True)
    return memory, stretches


def page(memory: list[tuple[int, float]], stretches: list[tuple[float, list[Answer]]], requests: int) -> str:
    """The result in Markdown."""
    failed = sum(answer.status != 200 for _, answers in stretches for answer in answers)
    settled = next(mib for n, mib in memory if n >= SETTLED)
    last, most = memory[-1][1], max(mib for _, mib in memory)
    lines = [
        "# The service over a long time",
        "",
        f"Made by `python -m benchmarks.serving.endurance --requests {requests}` on {platform.machine()},",
        f"{os.cpu_count()} cores; the server on one of them, {CONNECTIONS} connections, one patient a request.",
        "",
        f"{memory[-1][0]:,} requests, {failed} failed. Resident memory after {SETTLED:,} requests {settled:.0f} MiB,",
        f"at the end {last:.0f} MiB ({100 * (last / settled - 1):+.1f} %), at most {most:.0f} MiB.",
        "",
        "| minute | requests/s | p50 ms | p99 ms |",
        "|---|---|---|---|",
    ]
    for minute in range(int(stretches[-1][0] // 60) + 1):
        own = [answers for at, answers in stretches if at // 60 == minute]
        seconds = np.array([answer.seconds for answers in own for answer in answers])
        p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
        lines.append(f"| {minute + 1} | {len(seconds) / (len(own) * LOOK_SECONDS):.0f} | {p50:.1f} | {p99:.1f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Serve, ask, look, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--home", type=Path, help="A store in which `sequela demo` has run.")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subject = prepare(words.home, Path(folder))
        os.sched_setaffinity(0, {LOAD_CORE})
        with on_one_core(subject.servers()["Sequela"], Path(folder) / "serve.log") as port:
            memory, stretches = endure(port, subject.request, words.requests)
    RESULT.write_text(page(memory, stretches, words.requests), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
