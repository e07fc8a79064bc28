"""A service under load while its champion changes: failed requests, mixed answers, and what the changes cost in time.

    python -m benchmarks.serving.swap --seconds 120 --rate 100 --changes 20

Two Cox models are trained on simulated patients, promoted, and exported in turn, as `sequela promote` and its
``--rollback`` do at their end. Requests leave at their appointed times, whether earlier ones were answered or not, and
their latency counts from then on, so that a pause is seen by all who wait in it. Writes ``results/serving_swap.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.serving.load import Answer, open_loop, post
from experiments.home import CONFIGS, Home
from experiments.services import ServiceOptions, free_port, running, serve_command
from serving.champions import ExportedChampion, read_champion, write_champion

RESULT = Path(__file__).parents[1] / "results" / "serving_swap.md"
SEQUELA = Path(sys.executable).parent / "sequela"
ENDPOINT = "severe_infection"
PATIENT = {"patient_id": "p", "baseline": {"age": 61.0}}


def sequela(home: Home, *words: str) -> None:
    """Run the console script in a store."""
    environment = os.environ | {"SEQUELA_HOME": str(home.folder)}
    subprocess.run([str(SEQUELA), *words], check=True, env=environment, capture_output=True)


def two_champions(home: Home) -> list[ExportedChampion]:
    """Two models of one endpoint, promoted one after the other, as they were exported."""
    cohort = str(home.folder / "cohort")
    sequela(home, "simulate", cohort, "--patients", "200", "--cells-per-sample", "0")
    found = []
    for name, penalty in (("weak", 30), ("strong", 3000)):
        settings = [f"cohort={cohort}", f"name={name}", f"model={{kind: cox, penalty: {penalty}}}"]
        words = [word for setting in (*settings, "validation={folds: 3}") for word in ("--set", setting)]
        sequela(home, "train", str(CONFIGS / "run" / "cox.yaml"), *words)
        sequela(home, "promote", name, "--override", "a benchmark")
        found.append(read_champion(home.exported_champion(ENDPOINT)))
    return found


def change(path: Path, champions: list[ExportedChampion], changes: int, seconds: float) -> None:
    """Export the two in turn, evenly over the time."""
    for number in range(changes):
        time.sleep(seconds / (changes + 1))
        write_champion(path, champions[number % 2])


async def under_load(
    port: int, path: Path, champions: list[ExportedChampion], words: argparse.Namespace
) -> list[Answer]:
    """The load, with the changes in a thread beside it."""
    request = post("/v1/predict", json.dumps({"patients": [PATIENT] * 3}).encode())
    changing = asyncio.to_thread(change, path, champions, words.changes, words.seconds)
    answers, _ = await asyncio.gather(open_loop(port, request, words.rate, words.seconds), changing)
    return answers


def page(answers: list[Answer], words: argparse.Namespace) -> str:
    """The result in Markdown."""
    by_model: dict[str, set[tuple[float, ...]]] = {}
    versions = []
    for answer in sorted(answers, key=lambda answer: answer.due + answer.seconds):
        if answer.status == 200:
            body = json.loads(answer.body)
            versions.append(body["model"]["version"])
            for prediction in body["predictions"]:
                by_model.setdefault(versions[-1], set()).add(tuple(np.round(prediction["incidence"]["infection"], 5)))
    failed = sum(answer.status != 200 for answer in answers)
    turns = sum(one != other for one, other in itertools.pairwise(versions))
    latency = np.array([answer.seconds for answer in answers]) * 1e3
    p50, p95, p99, worst = np.percentile(latency, [50, 95, 99, 100])
    made = f"--seconds {words.seconds:g} --rate {words.rate:g} --changes {words.changes}"
    return "\n".join(
        [
            "# A champion that changes under load",
            "",
            f"Made by `python -m benchmarks.serving.swap {made}` on {platform.machine()}, {os.cpu_count()} cores,",
            "load and server on the same.",
            "",
            f"{len(answers):,} requests of three patients, {words.rate:g} a second, {words.changes} changes.",
            "",
            "| | |",
            "|---|---|",
            f"| failed requests | {failed} |",
            f"| models that answered | {len(by_model)} |",
            f"| different answers of one model to the one patient | {max(map(len, by_model.values())) - 1} |",
            f"| changes of the answering model, in the order of answers | {turns} |",
            f"| ms from the appointed time: p50, p95, p99, worst | {p50:.1f}, {p95:.1f}, {p99:.1f}, {worst:.1f} |",
            "",
        ]
    )


def main() -> None:
    """Train, serve, load, change, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--changes", type=int, default=20)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.folder.mkdir()
        champions = two_champions(home)
        path, port = home.exported_champion(ENDPOINT), free_port()
        command, environment = serve_command(home, champions[1].tag, "127.0.0.1", port, ServiceOptions(follow=path))
        url = f"http://127.0.0.1:{port}"
        with running(command, environment, f"{url}/readyz", home.folder / "serve.log"):
            answers = asyncio.run(under_load(port, path, champions, words))
    RESULT.write_text(page(answers, words), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
