"""The one interpreter of log items that speaks to MLflow."""

from __future__ import annotations

import fcntl
import json
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from experiments.home import Home
from experiments.log_items import Dataset, ExperimentTags, File, LogItem, Metrics, Params, Table, Tags
from experiments.ui_views import NOTE
from features.errors import SequelaError
from training.splits import Fold

PARENT = "mlflow.parentRunId"
PARAM_LIMIT = 6000
"""Longest parameter value MLflow keeps."""


def open_store(home: Home) -> MlflowClient:
    """A client of the store; a new sqlite database is brought to its schema once, before anyone else can see it.

    Raises:
        SequelaError: The store cannot be reached, or its schema belongs to another version of MLflow.
    """
    home.folder.mkdir(parents=True, exist_ok=True)
    if home.tracking_uri == f"sqlite:///{home.database}" and not home.database.exists():
        with (home.folder / ".mlflow.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several launchers may start at once
            if not home.database.exists():
                beside = home.database.with_suffix(".new")
                beside.unlink(missing_ok=True)
                command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{beside}"]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    msg = f"{home.database}: MLflow cannot create its database: {done.stderr.strip()[-300:]}"
                    raise SequelaError(msg)
                beside.rename(home.database)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(home.tracking_uri)
    return MlflowClient(home.tracking_uri)


def experiment_id(client: MlflowClient, home: Home, name: str) -> str:
    """The experiment's id; it is created when there is none.

    Raises:
        SequelaError: The experiment was deleted.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        local = home.tracking_uri.startswith("sqlite:")
        location = home.mlflow_artifacts.as_uri() + f"/{name}" if local else None
        try:
            return str(client.create_experiment(name, location, {"mlflow.note.content": NOTE}))
        except MlflowException:  # another process was first
            experiment = client.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage != "active":
        msg = f"experiment {name}: was deleted; restore it with `mlflow experiments restore`, or choose another name"
        raise SequelaError(msg)
    return str(experiment.experiment_id)


class Tracker:
    """One parent run and its children in MLflow."""

    def __init__(self, client: MlflowClient, run: Run) -> None:
        """`run` is the parent."""
        self.client = client
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self._fold_started = 0.0

    @classmethod
    def start(cls, client: MlflowClient, experiment: str, name: str) -> Tracker:
        """Begin a new parent run."""
        run = client.create_run(experiment, run_name=name, tags=environment_tags())
        return cls(client, run)

    @classmethod
    def resume(cls, client: MlflowClient, run_id: str) -> Tracker:
        """Go on with a run that was killed or failed.

        Raises:
            SequelaError: The store does not know the run.
        """
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            msg = f"run {run_id}: not in {mlflow.get_tracking_uri()}; was SEQUELA_HOME or the store changed?"
            raise SequelaError(msg) from error
        client.update_run(run_id, status="RUNNING")
        return cls(client, run)

    def log(self, items: Iterable[LogItem], run_id: str | None = None) -> None:
        """Interpret items, for the parent unless another run is named."""
        for item in items:
            self._log(run_id or self.run_id, item)

    def _log(self, run_id: str, item: LogItem) -> None:
        match item:
            case Params(values):
                params = [Param(key, value[:PARAM_LIMIT]) for key, value in values.items()]
                self.client.log_batch(run_id, params=params)
            case Metrics(values, step):
                now = int(time.time() * 1000)
                self.client.log_batch(run_id, metrics=[Metric(k, float(v), now, step) for k, v in values.items()])
            case Tags(values):
                self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in values.items()])
            case ExperimentTags(values):
                for key, value in values.items():
                    self.client.set_experiment_tag(self.experiment_id, key, value)
            case Dataset():
                data = MlflowDataset(
                    item.name, item.digest, "local", item.source, profile=json.dumps(dict(item.profile))
                )
                tag = InputTag("mlflow.data.context", item.context)
                self.client.log_inputs(run_id, [DatasetInput(data, [tag])])
            case Table(name, columns):
                self.client.log_table(run_id, dict(columns), name)
            case File(path, folder):
                log = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
                log(run_id, str(path), folder or None)

    def fold_started(self, fold: Fold) -> None:
        """Open the fold's child run, or the one that a killed process left behind."""
        self._child = self._open_child(fold)
        self._losses: list[Metric] = []
        self._fold_started = time.monotonic()

    def _open_child(self, fold: Fold) -> str:
        name = f"fold {fold.number}"
        parent = self.client.get_run(self.run_id)
        query = f"tags.`{PARENT}` = '{self.run_id}' and attributes.run_name = '{name}'"
        found = self.client.search_runs([self.experiment_id], query, max_results=1)
        if found:
            self.client.update_run(found[0].info.run_id, status="RUNNING")
            return str(found[0].info.run_id)
        child = self.client.create_run(self.experiment_id, run_name=name, tags={PARENT: self.run_id})
        params = [Param(key, value) for key, value in parent.data.params.items()]
        self.client.log_batch(child.info.run_id, params=params)  # filters in the UI lose children without them
        return str(child.info.run_id)

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        """Keep the losses of an epoch; they are sent when the fold ends."""
        del fold
        now = int(time.time() * 1000)
        self._losses += [
            Metric("loss/train", loss, now, epoch),
            Metric("loss/out_of_bag", out_of_bag_loss, now, epoch),
        ]

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        """Close the fold's child run."""
        seconds = Metric("seconds", time.monotonic() - self._fold_started, int(time.time() * 1000), 0)
        rows = Metric("test_rows", float(len(incidence)), seconds.timestamp, 0)
        for start in range(0, len(self._losses), 900):  # MLflow takes 1,000 metrics a batch
            self.client.log_batch(self._child, metrics=self._losses[start : start + 900])
        self.client.log_batch(self._child, metrics=[seconds, rows], tags=[RunTag("fold", str(fold.number))])
        self.client.set_terminated(self._child)

    @contextmanager
    def ends_truthfully(self) -> Iterator[None]:
        """Set the run's status by how the block ends: finished, failed, or killed by a signal.

        Children that are still running end likewise, also those of an earlier process that could not say so.
        """
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            open_children = f"tags.`{PARENT}` = '{self.run_id}' and attributes.status = 'RUNNING'"
            for child in self.client.search_runs([self.experiment_id], open_children):
                self.client.set_terminated(child.info.run_id, status)
            self.client.set_terminated(self.run_id, status)


def environment_tags() -> dict[str, str]:
    """Where and with what a run was made: versions, machine, git state."""
    commit, dirty = git_state()
    packages = ("torch", "lightning", "mlflow", "numpy", "anndata")
    return {
        "mlflow.source.name": "sequela",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit,
        "sequela.version": version("sequela"),
        "sequela.git_dirty": str(dirty).lower(),
        "sequela.python": platform.python_version(),
        "sequela.packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "sequela.machine": f"{platform.system()} {platform.machine()}",
    }


def git_state() -> tuple[str, bool]:
    """The commit that Sequela runs from, and whether files differ from it; ("unknown", False) outside a checkout."""
    folder = Path(__file__).resolve().parents[1]

    def ask(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = ask("rev-parse", "HEAD")
    return commit or "unknown", bool(commit and ask("status", "--porcelain"))


def find_run(client: MlflowClient, reference: str, endpoint: str | None = None) -> Run:
    """The parent run with an id, the beginning of an id, or a name (of several the latest finished one).

    Raises:
        SequelaError: There is none, or a beginning fits several.
    """
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = [r for r in client.search_runs(experiments, max_results=5000) if PARENT not in r.data.tags]
    if endpoint is not None:
        runs = [run for run in runs if run.data.tags.get("sequela.endpoint") == endpoint]
    named = [run for run in runs if run.info.run_name == reference]
    if len({run.data.tags.get("sequela.endpoint") for run in named}) > 1:
        msg = f"run {reference}: runs of this name study different endpoints; give the id, or --endpoint"
        raise SequelaError(msg + "; `sequela leaderboard EXPERIMENT` lists them")
    if named:
        return max(named, key=lambda run: (run.info.status == "FINISHED", run.info.start_time))
    begun = [run for run in runs if run.info.run_id.startswith(reference)] if len(reference) >= 4 else []
    if len(begun) == 1:
        return begun[0]
    msg = f"run {reference}: " + ("fits several ids; give more of it" if begun else "no run has this id or name")
    raise SequelaError(msg + "; `sequela leaderboard EXPERIMENT` lists them")
