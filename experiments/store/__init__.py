"""MLflow's store: opened, searched, and given what runs log.

connection     opening it                              failures       what its errors mean
finding        runs by id or name                      interpreter    events to MLflow
delivery       delivers while a run goes on            sync           delivers for processes that are no more
model          the artifact as a LoggedModel           system_metrics processor, memory, GPU on long runs
"""

from __future__ import annotations

from experiments.store.connection import PARENT, SWEEP, experiment_id, open_store
from experiments.store.finding import every, find_run
from experiments.store.interpreter import log_to
from experiments.store.sync import deliver_left, sync

__all__ = [
    "PARENT",
    "SWEEP",
    "deliver_left",
    "every",
    "experiment_id",
    "find_run",
    "log_to",
    "open_store",
    "sync",
]
