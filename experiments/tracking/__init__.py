"""How runs are tracked: typed items (`experiments.log_items`) kept on disk, and one interpreter that speaks to MLflow.

tracker        what training calls                 events       items with their run and time, as lines of JSON
run_folder     a run's folder, record and lock     outbox       the events, until MLflow has them
interpreter    events to MLflow                    store        opening MLflow's store
failures       what errors of the store mean               finding      runs by id or name
courier        delivers while the run goes on      sync         delivers for processes that are no more
model          the artifact as a LoggedModel       environment  versions, machine, git state
system_metrics processor, memory, GPU on long runs
"""

from __future__ import annotations

from experiments.tracking.environment import environment_tags, git_state
from experiments.tracking.finding import every, find_run
from experiments.tracking.interpreter import log_to
from experiments.tracking.run_folder import RunFolder
from experiments.tracking.store import PARENT, experiment_id, open_store, require_usable
from experiments.tracking.sync import deliver_left, sync
from experiments.tracking.tracker import Tracker

__all__ = [
    "PARENT",
    "RunFolder",
    "Tracker",
    "deliver_left",
    "environment_tags",
    "every",
    "experiment_id",
    "find_run",
    "git_state",
    "log_to",
    "open_store",
    "require_usable",
    "sync",
]
