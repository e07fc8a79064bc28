"""Seconds of a fit, ours and peers', on simulated patients, one core; and of five folds of the network on two.

    python -m benchmarks.fit_speed --sizes 500 2500

Each fit predicts 1,000 patients at twelve times as well, which is part of the time. Writes ``results/fit_speed.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy import models, peers
from benchmarks.accuracy.models import OURS
from benchmarks.accuracy.page import markdown
from benchmarks.accuracy.peers import PEERS
from benchmarks.truth import TIMES_DAYS, cohort
from experiments.data import TrainingRows
from training.splits import Fold, patient_folds

RESULT = Path(__file__).parent / "results" / "fit_speed.md"
SLOW = ("stacked", "hazardous SurvivalBoost")
"""Minutes a fit: run only when asked for."""
CHOSEN = [name for name in (*OURS, *PEERS) if name not in SLOW]
FOLDS = 5


@cache
def rows_of(n_train: int) -> TrainingRows:
    """The cohort, simulated once in each process."""
    return cohort(n_train, 0)[0]


def seconds(model: str, n_train: int, fold: Fold | None = None) -> float:
    """Of fitting to `n_train` patients and predicting the others; or to a fold of them."""
    rows = rows_of(n_train)
    everyone = np.arange(len(rows.patients))
    fold = fold or Fold(0, 0, everyone[:n_train], everyone[n_train:])
    start = time.perf_counter()
    if model in OURS:
        models.predict(OURS[model], rows, fold, TIMES_DAYS)
    else:
        peers.predict(PEERS[model], rows, fold, TIMES_DAYS)
    return time.perf_counter() - start


def five_folds(n_patients: int) -> float:
    """Wall-clock seconds of five folds of the network with 32 members, in two processes, starting them included."""
    start = time.perf_counter()
    with _processes(2) as pool:
        list(pool.map(_fold_seconds, [n_patients] * FOLDS, range(FOLDS)))
    return time.perf_counter() - start


def _fold_seconds(n_patients: int, number: int) -> float:
    rows = rows_of(n_patients - 1000)  # of which 1,000 more are simulated
    folds = patient_folds(rows.patients.patient_id, rows.outcomes.cause, n_folds=FOLDS, n_repeats=1, seed=0)
    return seconds("network", n_patients - 1000, folds[number])


def _processes(n: int) -> ProcessPoolExecutor:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    return ProcessPoolExecutor(n, mp_context=get_context("spawn"))


def main() -> int:
    """Time every model at every size, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[500, 2500])
    parser.add_argument("--models", nargs="+", default=CHOSEN, choices=[*OURS, *PEERS], metavar="MODEL")
    options = parser.parse_args()
    with _processes(1) as pool:
        for size in options.sizes:
            pool.submit(seconds, "cox", size).result()  # imports, and simulates, once
        lines = [
            {"model": model, "n": size, "seconds": pool.submit(seconds, model, size).result()}
            for model in options.models
            for size in options.sizes
        ]
    table = pd.DataFrame(lines).pivot_table(index="model", columns="n", values="seconds")
    text = [
        "# Seconds of a fit",
        "",
        "Simulated patients, three causes, clinic at day 0; predictions of 1,000 others included. One core.",
        f"Made by `python -m benchmarks.fit_speed` on {platform.machine()}, Python {platform.python_version()}, CPU.",
        "",
        markdown(table.sort_values(options.sizes[-1]).map("{:.2f}".format).reset_index()),
        "",
        "Five folds of the network, 32 members each, on 2,500 patients, two cores, one process each, simulating and",
        f"starting included: {five_folds(2500):.0f} s.",
    ]
    RESULT.write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
