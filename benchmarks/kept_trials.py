"""Trials whose rows are kept as they come: a benchmark that was stopped goes on, and models are added to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd


def carry_out(
    trials: Sequence[Any],
    measure: Callable[[Any], list[dict[str, object]]],
    table: Path,
    key: Sequence[str],
    sort_by: Sequence[str],
    *,
    workers: int,
    add: bool,
) -> pd.DataFrame:
    """Rows of all trials, written to a table after each.

    Args:
        trials: Dataclasses, whose fields are in the columns `key` of their rows.
        measure: Gives the rows of one; runs in a process of its own.
        table: CSV.
        key: Columns.
        sort_by: Columns.
        workers: Processes, one thread each.
        add: Keep what the table holds, and run what it lacks.
    """
    found = pd.read_csv(table) if add and table.exists() else pd.DataFrame()
    held = set(found[list(key)].itertuples(index=False, name=None)) if len(found) else set()
    os.environ["OMP_NUM_THREADS"] = "1"  # the workers are the parallelism
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(measure, trial) for trial in trials if astuple(trial) not in held]):
            rows = pd.DataFrame(done.result())
            found = pd.concat([found, rows]) if len(found) else rows
            found = found.sort_values(list(sort_by), ignore_index=True)
            found.round(6).to_csv(table, index=False)
    return found
