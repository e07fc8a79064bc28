"""Requests a second and latency beside other servers of the same model, each server on one core, the load on another.

    python -m pip install -c constraints.txt -e '.[bench]'
    python -m benchmarks.serving.speed --seconds 10 --rounds 3

The model is the champion of `sequela demo` (``--home``, its store), else it is made first. Every round starts each
server anew, warms it up, and asks over 1 and over 16 connections as fast as it answers: one patient of the clinic, the
example of the model card. Our own server answers with everything on: keys, limits, request ids, metrics; the peers have
none of that. Then, ours alone: 1,000 patients in one request, and one sample of 10,000 cells, packed.
Writes ``results/serving_speed.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.serving.load import Answer, Connection, closed_loop, post
from experiments.home import Home
from experiments.services import ServiceOptions, free_port, running, serve_command
from features.cells.bag import CellBag
from serving.answer import answer
from serving.champions import read_champion
from serving.keys import add_key
from serving.messages import PredictRequest
from serving.packed import PACKED, pack
from training.artifact.folder import Artifact, read_artifact

RESULT = Path(__file__).parents[1] / "results" / "serving_speed.md"
REPOSITORY = Path(__file__).parents[2]
SEQUELA = Path(sys.executable).parent / "sequela"
CONNECTIONS = (1, 16)
SERVER_CORE, LOAD_CORE = 0, 1
WARM_UP_SECONDS = 2.0
PATIENTS, CELLS, GENES_A_CELL = 1_000, 10_000, 1_000


@dataclass
class Measured:
    """Of one server at one number of connections."""

    per_second: list[float] = field(default_factory=list)
    """One a round."""
    seconds: list[float] = field(default_factory=list)
    """Of every request of every round."""

    def add(self, answers: list[Answer], seconds: float) -> None:
        """A round."""
        failed = [answer for answer in answers if answer.status != 200]
        if failed:
            msg = f"{len(failed)} of {len(answers)} failed: {failed[0].status} {failed[0].body[:200]!r}"
            raise RuntimeError(msg)
        self.per_second.append(len(answers) / seconds)
        self.seconds += [answer.seconds for answer in answers]

    def percentile(self, q: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.seconds, q)) * 1e3


Server = Callable[[int], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True)
class Subject:
    """The model that is served, and a request for one patient."""

    home: Home
    artifact: Path
    tag: str
    keys: Path
    key: dict[str, str]
    request: bytes

    def servers(self) -> dict[str, Server]:
        """How each is started on a port."""
        environment = os.environ | {"PEER_ARTIFACT": str(self.artifact), "PYTHONPATH": str(REPOSITORY)}
        environment |= {"BENTOML_HOME": str(self.home.bentoml), "BENTOML_DO_NOT_TRACK": "true"}
        peers = "benchmarks.serving.peers"

        def bento(port: int) -> tuple[list[str], dict[str, str]]:
            words = ["serve", f"{peers}.stock_bento:Stock", "--host", "127.0.0.1", "--port", str(port)]
            return [sys.executable, "-m", "bentoml", *words, "--working-dir", str(REPOSITORY)], environment

        def module(name: str) -> Server:
            return lambda port: ([sys.executable, "-m", f"{peers}.{name}", str(port)], environment)

        def ours(port: int) -> tuple[list[str], dict[str, str]]:
            return serve_command(self.home, self.tag, "127.0.0.1", port, ServiceOptions(keys=self.keys))

        return {"Sequela": ours, "BentoML": bento, "FastAPI": module("fast_api"), "LitServe": module("lit_serve")}


def prepare(store: Path | None, folder: Path) -> Subject:
    """The champion of a store; without one, of a demo that is run in a folder."""
    home = Home(store or folder / "home")
    if store is None:
        environment = os.environ | {"SEQUELA_HOME": str(home.folder)}
        subprocess.run([str(SEQUELA), "demo"], check=True, env=environment, cwd=folder)
    (exported,) = (home.folder / "champions").glob("*.json")
    tag = read_champion(exported).tag
    artifact = home.bentoml / "models" / Path(*tag.split(":")) / "artifact"
    _, token = add_key(folder / "keys.json", "load", ["predict"])
    key = {"Authorization": f"Bearer {token}"}
    example = PredictRequest(patients=(read_artifact(artifact).manifest.example.patient,))
    request = post("/v1/predict", example.model_dump_json(exclude_defaults=True).encode(), key)
    return Subject(home, artifact, tag, folder / "keys.json", key, request)


@contextmanager
def on_one_core(server: Server, log: Path) -> Iterator[int]:
    """A server on its core; its port."""
    port = free_port()
    command, environment = server(port)
    command = ["taskset", "-c", str(SERVER_CORE), *command]
    with running(command, environment, f"http://127.0.0.1:{port}/readyz", log):
        yield port


async def one_request(port: int, request: bytes, times: int) -> list[float]:
    """Seconds of one request after the other."""
    connection, found = Connection(port), []
    for _ in range(times):
        began = time.perf_counter()
        status, body = await connection.ask(request)
        found.append(time.perf_counter() - began)
        if status != 200:
            raise RuntimeError(body[:500])
    await connection.close()
    return found


def many_cells(artifact: Artifact) -> bytes | None:
    """A packed request with one sample of the model's genes; None where it takes no cells."""
    samples = artifact.model.encoder.samples
    if samples is None or not samples.genes:
        return None
    rng = np.random.default_rng(0)
    others = tuple(f"OTHER{i}" for i in range(max(0, 2_000 - len(samples.genes))))
    genes = (*samples.genes, *others)
    n_genes = min(GENES_A_CELL, len(genes) // 2)
    indices = np.sort(np.argpartition(rng.random((CELLS, len(genes))), n_genes)[:, :n_genes]).ravel()
    values = 1.0 + rng.poisson(1.0, len(indices))
    labels = np.array(samples.cell_types or ("unlabelled",), dtype=object)[
        rng.integers(0, max(1, len(samples.cell_types)), CELLS)
    ]
    bag = CellBag(genes, np.arange(CELLS + 1) * n_genes, indices, values, labels)
    day = artifact.manifest.endpoint.landmark_days[0]
    patient = json.dumps({"patients": [{"landmark_day": day}]})
    return pack(patient, [({"patient": 0, "material": samples.materials[0], "day": min(day, 0.0)}, bag)])


def large_requests(port: int, artifact: Artifact, key: dict[str, str]) -> dict[str, list[float]]:
    """Seconds of large requests, through HTTP; and those of the model alone."""
    record = artifact.manifest.example.patient
    request = PredictRequest(patients=(record,) * PATIENTS)
    whole = post("/v1/predict", request.model_dump_json(exclude_defaults=True).encode(), key)
    found = {"1,000 patients, through HTTP": asyncio.run(one_request(port, whole, 10))}
    alone = []
    for _ in range(10):
        began = time.perf_counter()
        answer(artifact, "v", request)
        alone.append(time.perf_counter() - began)
    found["1,000 patients, the model's part (encoder to answer)"] = alone
    cells = many_cells(artifact)
    if cells is not None:
        sent = post("/v1/predict", cells, key | {"Content-Type": PACKED})
        size = f", {len(cells) / 2**20:.1f} MiB"
        found[f"one sample of {CELLS:,} cells, through HTTP{size}"] = asyncio.run(one_request(port, sent, 5))
    return found


def page(
    measured: dict[tuple[str, int], Measured], large: dict[str, list[float]], words: argparse.Namespace, tag: str
) -> str:
    """The result in Markdown."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("bentoml", "fastapi", "uvicorn", "litserve", "torch"))
    lines = [
        "# The service beside other servers of the same model",
        "",
        f"Made by `python -m benchmarks.serving.speed --seconds {words.seconds:g} --rounds {words.rounds}` on",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}.",
        f"Server on core {SERVER_CORE}, load on core {LOAD_CORE}, loopback; one patient a request, model {tag}",
        "(a champion of simulated patients). Sequela with keys, limits, request ids and metrics; the peers without.",
        "",
        "| server | connections | requests/s, median | least, most | p50 ms | p95 ms | p99 ms | p99 / p50 | worst ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, connections), one in measured.items():
        p50, p95, p99, worst = map(one.percentile, (50, 95, 99, 100))
        rate, low, high = statistics.median(one.per_second), min(one.per_second), max(one.per_second)
        lines.append(
            f"| {name} | {connections} | {rate:.0f} | {low:.0f}, {high:.0f} | {p50:.2f} | {p95:.2f} | {p99:.2f} "
            f"| {p99 / p50:.2f} | {worst:.1f} |"
        )
    lines += ["", "| of Sequela | peer | 1 connection | 16 connections |", "|---|---|---|---|"]
    for peer in ("BentoML", "FastAPI", "LitServe"):
        ratios = []
        for n in CONNECTIONS:
            pairs = zip(measured["Sequela", n].per_second, measured[peer, n].per_second, strict=True)
            each = [ours / theirs for ours, theirs in pairs]
            ratios.append(f"{statistics.median(each):.2f} ({min(each):.2f}–{max(each):.2f})")
        lines.append(f"| requests/s, ratio of each round | {peer} | {ratios[0]} | {ratios[1]} |")
    lines += ["", "| large requests | median s | least, most s |", "|---|---|---|"]
    for name, seconds in large.items():
        lines.append(f"| {name} | {statistics.median(seconds):.3f} | {min(seconds):.3f}, {max(seconds):.3f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Serve, load, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--home", type=Path, help="A store in which `sequela demo` has run.")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subject = prepare(words.home, Path(folder))
        model = read_artifact(subject.artifact)
        os.sched_setaffinity(0, {LOAD_CORE})
        measured: dict[tuple[str, int], Measured] = {}
        large: dict[str, list[float]] = {}
        for number in range(words.rounds):
            found = list(subject.servers().items())
            for name, server in found if number % 2 == 0 else found[::-1]:
                log = RESULT.parents[2] / ".sequela" / f"speed-{name}.log"
                with on_one_core(server, log) as port:
                    for n in CONNECTIONS:
                        asyncio.run(closed_loop(port, subject.request, n, WARM_UP_SECONDS))
                        answers = asyncio.run(closed_loop(port, subject.request, n, words.seconds))
                        measured.setdefault((name, n), Measured()).add(answers, words.seconds)
                    if name == "Sequela" and number == words.rounds - 1:
                        large = large_requests(port, model, subject.key)
                print(number, name, *(round(measured[name, n].per_second[-1]) for n in CONNECTIONS), flush=True)
    in_order = {
        key: measured[key]
        for name in ("Sequela", "BentoML", "FastAPI", "LitServe")
        for n in CONNECTIONS
        if (key := (name, n))
    }
    RESULT.write_text(page(in_order, large, words, subject.tag), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
