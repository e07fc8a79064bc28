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
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
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
        for number in range(copies):
            new_id = {old: uuid.UUID(bytes=rng.bytes(16)).hex for old in runs}
            for old, new in new_id.items():
                _copy_rows(store, old, new)
                if old != parent:
                    renamed = (new_id[parent], new, PARENT)
                    store.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = ?", renamed)
            _vary(store, new_id[parent], f"run {number}", float(rng.normal(0, 0.01)))
        return int(store.execute("SELECT count(*) FROM runs").fetchone()[0])


def _copy_rows(store: sqlite3.Connection, old: str, new: str) -> None:
    """Every row of a run, under another id."""
    for table in ("runs", *KEYED):
        columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
        chosen = ", ".join("?" if name == "run_uuid" else f'"{name}"' for name in columns)
        store.execute(f"INSERT INTO {table} SELECT {chosen} FROM {table} WHERE run_uuid = ?", (new, old))  # noqa: S608
    columns = [row[1] for row in store.execute("PRAGMA table_info(inputs)")]
    given = {"input_uuid": uuid.uuid4().hex, "destination_id": new}
    chosen = ", ".join("?" if name in given else f'"{name}"' for name in columns)
    values = [given[name] for name in columns if name in given]
    store.execute(f"INSERT INTO inputs SELECT {chosen} FROM inputs WHERE destination_id = ?", (*values, old))  # noqa: S608


def _vary(store: sqlite3.Connection, run: str, name: str, shift: float) -> None:
    """Another name and other scores."""
    store.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (name, run))
    store.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'mlflow.runName'", (name, run))
    for table in ("metrics", "latest_metrics"):
        store.execute(f"UPDATE {table} SET value = value + ? WHERE run_uuid = ?", (shift, run))  # noqa: S608


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
        seconds = []
        for _ in range(asked.repeats):
            start = time.perf_counter()
            shown = sequela(home, "leaderboard", EXPERIMENT)
            seconds.append(time.perf_counter() - start)
        size = home.database.stat().st_size / 2**20
    assert f"{asked.runs:,} runs" in shown, shown[-500:]
    page = (
        "# Seconds of a leaderboard\n\n"
        f"`sequela leaderboard`, start of Python included, on {asked.runs:,} runs of one experiment in MLflow's sqlite "
        f"store\n({n_all:,} with the child runs of five folds each; {size:,.0f} MB): copies of one real run on "
        "simulated patients.\n"
        f"Made by `python -m benchmarks.leaderboard_speed` on {platform.machine()}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores.\n\n"
        f"| median | least | most | of |\n|---|---|---|---|\n"
        f"| {statistics.median(seconds):.1f} s | {min(seconds):.1f} s | {max(seconds):.1f} s | {asked.repeats} |\n"
    )
    RESULT.write_text(page, "utf-8")
    print(page)


if __name__ == "__main__":
    main()
