"""MLflow's store: how it is opened, and what is found there."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from contextlib import suppress

import mlflow
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from experiments.home import Home
from experiments.tracking.failures import OutageError, RefusedError, asking, shown
from features.errors import SequelaError

PARENT = "mlflow.parentRunId"
KEY = "sequela.run"
"""Tag: the run's id of our own, and the child's name; a run is found by it if MLflow's answer was lost."""

_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds; MLflow's own 120 and seven retries would hold up a run for an hour
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


def connect(home: Home) -> MlflowClient:
    """A client of the store, which has answered once.

    Raises:
        OutageError: It does not answer now.
        SequelaError: It never will: address, name, password or version are wrong.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    for noisy in ("mlflow.store.db.utils", "urllib3.connectionpool"):  # what they say, is said once, by us
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    home.folder.mkdir(parents=True, exist_ok=True)
    try:
        with asking(home):
            _prepare_database(home)
            mlflow.set_tracking_uri(home.tracking_uri)
            client = MlflowClient(home.tracking_uri)
            client.search_experiments(max_results=1)
    except RefusedError as error:
        msg = f"{shown(home.tracking_uri)}: is no store of MLflow ({error}); check MLFLOW_TRACKING_URI"
        raise SequelaError(msg) from error
    return client


def _prepare_database(home: Home) -> None:
    """Bring a new sqlite database to its schema once, before anyone else can see it; look whether another answers.

    MLflow itself would try to reach a database for minutes.
    """
    if home.tracking_uri == f"sqlite:///{home.database}":
        if not home.database.exists():
            _create_database(home)
    elif "://" in home.tracking_uri and not home.tracking_uri.startswith(("http", "sqlite", "file")):
        try:
            engine = sqlalchemy.create_engine(home.tracking_uri, connect_args={"connect_timeout": 10})
            engine.connect().close()
            engine.dispose()
        except (NoSuchModuleError, ArgumentError, ImportError) as error:
            msg = f"{shown(home.tracking_uri)}: no such kind of store ({error}); check MLFLOW_TRACKING_URI"
            raise SequelaError(msg) from error


def _create_database(home: Home) -> None:
    with (home.folder / ".mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several launchers may start at once
        if home.database.exists():
            return
        beside = home.database.with_suffix(".new")
        beside.unlink(missing_ok=True)
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{beside}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            msg = f"{home.database}: MLflow cannot create its database: {done.stderr.strip()[-300:]}"
            raise SequelaError(msg)
        beside.rename(home.database)


def require_usable(home: Home) -> None:
    """Make sure that the store is rightly configured; that it does not answer now, is no fault.

    Raises:
        SequelaError: Address, name, password or version are wrong.
    """
    with suppress(OutageError):
        connect(home)


def open_store(home: Home) -> MlflowClient:
    """A client of the store, for those who cannot do without.

    Raises:
        SequelaError: The store cannot be reached, or its schema belongs to another version of MLflow.
    """
    try:
        return connect(home)
    except OutageError as error:
        msg = f"{shown(home.tracking_uri)}: does not answer ({error}); start it, or check MLFLOW_TRACKING_URI"
        raise SequelaError(msg) from error


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
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process was first
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        msg = f"experiment {name}: was deleted; restore it with `mlflow experiments restore`, or choose another name"
        raise SequelaError(msg)
    return str(experiment.experiment_id)


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
    begun = [run for run in runs if _has_id(run, reference)] if len(reference) >= 4 else []
    if len(begun) == 1:
        return begun[0]
    msg = f"run {reference}: " + ("fits several ids; give more of it" if begun else "no run has this id or name")
    raise SequelaError(msg + "; `sequela leaderboard EXPERIMENT` lists them")


def _has_id(run: Run, beginning: str) -> bool:
    """Of MLflow, or the one of our own that it had while the store did not answer."""
    return run.info.run_id.startswith(beginning) or run.data.tags.get(KEY, "").startswith(beginning)
