"""The whole way on the embedded cohort, as a user would go it."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from pathlib import Path

from mlflow import MlflowClient

from experiments.cli.output import progress_bars, stderr, stdout
from experiments.comparing.leaderboard import Leaderboard, leaderboards, write_csv
from experiments.comparing.leaderboard_shown import print_leaderboard
from experiments.config import load_run
from experiments.home import CONFIGS, Home
from experiments.progress import Progress
from experiments.promotion import registry
from experiments.promotion.candidate import Candidate
from experiments.promotion.gate import load_gate
from experiments.promotion.promote import promote
from experiments.services import address_of, free_port, running, serve_command
from experiments.store import find_run, open_store
from experiments.train import train
from experiments.ui_links import experiment_links
from features.check import examine
from features.errors import CohortError
from features.simulator import simulate
from training.artifact.folder import Artifact, read_artifact

EXPERIMENT = "demo"
RUNS = ("aalen_johansen", "cox", "network", "mixture")
CELLS_PER_SAMPLE = 200


def run_demo(home: Home, *, n_patients: int, seed: int) -> None:
    """Simulate, check, train, compare, promote, serve, ask. Safe to run again."""
    began = time.monotonic()
    _say(f"Sequela demo: a simulated cohort of {n_patients} CAR-T patients, everything kept in {home.folder}")
    cohort = _cohort(home, n_patients, seed)
    client = open_store(home)
    _train(home, cohort, seed)
    (board,) = [b for b in leaderboards(home, EXPERIMENT) if b.table["run"].isin(RUNS).any()][:1]
    print_leaderboard(board)
    champion, artifact = _promote(client, home, board)
    answer = _ask(home, champion, artifact)
    _show_answer(answer)
    _links(client, home, board, champion)
    _say(f"done in {time.monotonic() - began:.0f} s")


def _say(text: str) -> None:
    stderr.print(f"[bold]▸[/bold] {text}", highlight=False, soft_wrap=True)


def _cohort(home: Home, n_patients: int, seed: int) -> Path:
    """The embedded cohort, simulated once, and checked."""
    folder = home.cohorts / f"simulated-{n_patients}-seed{seed}"
    if not folder.exists():
        with progress_bars() as bar:
            bars = bar("simulating cells")
            simulate(folder, n_patients=n_patients, cells_per_sample=CELLS_PER_SAMPLE, seed=seed, progress=bars)
    findings = examine(folder).findings
    if any(finding.severity == "error" for finding in findings):
        raise CohortError(findings)
    _say(f"cohort {folder}: checked, {len(findings)} findings")
    return folder


def _train(home: Home, cohort: Path, seed: int) -> None:
    with progress_bars() as bar:
        for name in RUNS:
            overrides = [f"experiment={EXPERIMENT}", f"cohort={json.dumps(str(cohort))}", f"seed={seed}"]
            config = load_run(CONFIGS / "run" / f"{name}.yaml", overrides)
            train(config, home, Progress(bar(f"{name}: cells"), bar(f"{name}: folds")))


def _promote(client: MlflowClient, home: Home, board: Leaderboard) -> tuple[registry.Champion, Artifact]:
    """The best run's model becomes the champion; the demonstration serves it whatever the gate says."""
    best = find_run(client, str(board.table["run_id"].iloc[0]))
    with progress_bars() as bar:
        candidate, why = Candidate(client, home, best), "a demonstration on simulated patients"
        promoted = promote(candidate, load_gate(), override=why, progress=bar("gate"))
    champion, verdict = promoted.champion, promoted.verdict
    passed = "passed" if verdict.passed else f"overridden: {verdict.complaint()}"
    _say(f"champion of {champion.endpoint}: {best.info.run_name}, version {champion.version}; gate {passed}")
    return champion, read_artifact(registry.run_artifact(client, best))


def _ask(home: Home, champion: registry.Champion, artifact: Artifact) -> dict[str, object]:
    """Start the service, post the model's worked example, stop the service."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    body = {"patients": [artifact.manifest.example.patient.model_dump(mode="json")]}
    request = urllib.request.Request(  # noqa: S310  our own server
        f"{address}/v1/predict", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    command, environment = serve_command(home, champion.bento_tag, "127.0.0.1", port)
    with running(command, environment, f"{address}/readyz", home.folder / "logs" / "serve.log"):
        _say(f"POST {address}/v1/predict")
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            content: dict[str, object] = json.load(answer)
    return content


def _show_answer(answer: dict[str, object]) -> None:
    stdout.print_json(json.dumps(answer))


def _links(client: MlflowClient, home: Home, board: Leaderboard, champion: registry.Champion) -> None:
    """Where to look further."""
    reports = home.folder / "reports" / EXPERIMENT
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    write_csv([board], reports / "leaderboard.csv")
    for name, run_id in zip(board.table["run"], board.table["run_id"], strict=True):
        shutil.copytree(home.runs / run_id / "report", reports / name)
    links = experiment_links(client, address_of("127.0.0.1", 5000))
    runs = next(link.url for link in links if link.subject.startswith(EXPERIMENT))
    _say("look further:")
    stdout.print(
        f"  runs      sequela ui      {runs}\n"
        f"  API       sequela serve   http://127.0.0.1:3000/\n"
        f"  reports   {reports}",
        highlight=False,
        soft_wrap=True,
    )
