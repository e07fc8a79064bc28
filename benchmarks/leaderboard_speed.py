"""Seconds of `sequela leaderboard` on an experiment of many runs, each with the child runs of its folds.

    python -m benchmarks.leaderboard_speed --runs 2000

One run is trained, on simulated patients, and its rows in MLflow's sqlite database are copied under new ids with other
scores: so every run has the parameters, metrics, tags and children that a real one has. The console script is then
started as a user would, and timed from the outside. Writes ``results/leaderboard_speed.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.home import CONFIGS, Home

RESULT = Path(__file__).parent / "results" / "leaderboard_speed.md"
SEQUELA = Path(sys.executable).parent / "sequela"
EXPERIMENT = "many"
PARENT = "mlflow.parentRunId"
KEYED = ("params", "tags", "metrics", "latest_metrics")
"""Tables with a column ``run_uuid``."""


def sequela(home: Home, *words: str) -> str:
    """Run the console script in a store; stdout."""
    environment = os.environ | {"SEQUELA_HOME": str(home.folder)}
    command = [str(SEQUELA), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def train_one(home: Home) -> None:
    """A Cox run of five folds on 120 simulated patients."""
    folder = str(home.folder / "cohort")
    sequela(home, "simulate", folder, "--patients", "120", "--cells-per-sample", "0")
    settings = [f"experiment={EXPERIMENT}", f"cohort={folder}", "validation={folds: 5, bootstrap: 20}"]
    words = [word for setting in (*settings, "model={kind: cox, penalty: 50}") for word in ("--set", setting)]
    sequela(home, "train", str(CONFIGS / "run" / "cox.yaml"), *words)


def copy_run(database: Path, copies: int) -> int:
    """Copy the parent and its children `copies` times; how many runs there are then."""
    rng = np.random.default_rng(0)
    with sqlite3.connect(database) as store:
        runs = [row[0] for row in store.execute("SELECT run_uuid FROM runs")]
        (parent,) = store.execute("SELECT run_uuid FROM tags WHERE key = 'sequela.endpoint'").fetchone()
        store.execute("CREATE TEMP TABLE copies (old TEXT, new TEXT PRIMARY KEY, parent TEXT, number INT, shift REAL)")
        for number in range(copies):
            new = {old: uuid.UUID(bytes=rng.bytes(16)).hex for old in runs}
            shift = float(rng.normal(0, 0.01))
            rows = [(old, new[old], new[parent], number, shift) for old in runs]
            store.executemany("INSERT INTO copies VALUES (?, ?, ?, ?, ?)", rows)
        for table in ("runs", *KEYED):
            _copy_rows(store, table, {"run_uuid": "new"}, "run_uuid")
        _copy_rows(
            store, "inputs", {"input_uuid": "lower(hex(randomblob(16)))", "destination_id": "new"}, "destination_id"
        )
        _make_different(store)
        return int(store.execute("SELECT count(*) FROM runs").fetchone()[0])


def _copy_rows(store: sqlite3.Connection, table: str, changed: Mapping[str, str], key: str) -> None:
    """The rows of every copied run once more, with some columns changed."""
    columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join(changed.get(name, f'{table}."{name}"') for name in columns)
    store.execute(f"INSERT INTO {table} SELECT {chosen} FROM {table} JOIN copies ON old = {key}")  # noqa: S608


def _make_different(store: sqlite3.Connection) -> None:
    """Children belong to the copy of their parent; parents have names and scores of their own."""
    copied = "run_uuid IN (SELECT new FROM copies)"
    own = "run_uuid IN (SELECT new FROM copies WHERE new = parent)"
    name = "(SELECT 'run ' || number FROM copies WHERE new = run_uuid)"
    parent = "(SELECT parent FROM copies WHERE new = run_uuid)"
    store.execute(f"UPDATE tags SET value = {parent} WHERE key = '{PARENT}' AND {copied}")  # noqa: S608
    store.execute(f"UPDATE tags SET value = {name} WHERE key = 'mlflow.runName' AND {own}")  # noqa: S608
    store.execute(f"UPDATE runs SET name = {name} WHERE {own}")  # noqa: S608
    for table in ("metrics", "latest_metrics"):
        shift = "(SELECT shift FROM copies WHERE new = run_uuid)"
        store.execute(f"UPDATE {table} SET value = value + {shift} WHERE {own}")  # noqa: S608


def cpu_of_children() -> float:
    """Seconds of CPU that finished child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _line(what: str, seconds: list[float]) -> str:
    return (
        f"| {what} | {statistics.median(seconds):.1f} s | {min(seconds):.1f} s | {max(seconds):.1f} s "
        f"| {len(seconds)} |\n"
    )


def main() -> None:
    """Fill a store, time the command, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "store")
        home.folder.mkdir()
        train_one(home)
        n_all = copy_run(home.database, asked.runs - 1)
        wall, cpu = [], []
        for _ in range(asked.repeats):
            start, used = time.perf_counter(), cpu_of_children()
            shown = sequela(home, "leaderboard", EXPERIMENT)
            wall.append(time.perf_counter() - start)
            cpu.append(cpu_of_children() - used)
        size = home.database.stat().st_size / 2**20
    assert f"and {asked.runs - 50:,} more" in shown, shown[-500:]
    page = (
        "# Seconds of a leaderboard\n\n"
        f"`sequela leaderboard`, start of Python included, on {asked.runs:,} runs of one experiment in MLflow's sqlite "
        f"store\n({n_all:,} with the child runs of five folds each; {size:,.0f} MB): copies of one real run on "
        "simulated patients.\n"
        f"Made by `python -m benchmarks.leaderboard_speed` on {platform.machine()}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores.\n"
        f"Processes that wanted to run meanwhile, ours included (mean of a minute): {os.getloadavg()[0]:.1f}.\n\n"
        f"| | median | least | most | of |\n|---|---|---|---|---|\n{_line('wall clock', wall)}{_line('CPU', cpu)}"
    )
    RESULT.write_text(page, "utf-8")
    print(page)


if __name__ == "__main__":
    main()
