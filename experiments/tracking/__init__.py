"""How runs are tracked: typed items (`experiments.log_items`), kept on disk until a courier has given them to MLflow.

tracker        what training calls                 events       items with their run and time, as lines of JSON
run_folder     a run's folder, record and lock     outbox       the events, until MLflow has them
environment    versions, machine, git state

Who delivers them is in `experiments.courier`; nothing here imports MLflow, which takes seconds.
"""

from __future__ import annotations

from experiments.tracking.environment import environment_tags, git_state
from experiments.tracking.run_folder import RunFolder
from experiments.tracking.tracker import Tracker

__all__ = ["RunFolder", "Tracker", "environment_tags", "git_state"]
