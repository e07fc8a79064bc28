"""MLflow's store, and how it is opened."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys

import mlflow
import sqlalchemy
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from experiments.home import Home
from experiments.store.failures import OutageError, RefusedError, asking, shown
from experiments.ui_views import NOTE
from features.errors import SequelaError

PARENT = "mlflow.parentRunId"
SWEEP = "sequela.sweep"
"""Tag: the name of the sweep, of its run and of its trials' runs."""
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
            client = _client(home.tracking_uri)
            client.search_experiments(max_results=1)
    except RefusedError as error:
        msg = f"{shown(home.tracking_uri)}: is no store of MLflow ({error}); check MLFLOW_TRACKING_URI"
        raise SequelaError(msg) from error
    return client


def _client(uri: str) -> MlflowClient:
    """A client, whose store is the one that MLflow's own functions use; another home may be opened after this one."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if given is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # which MLflow sets, and which names the store of every home
    return MlflowClient(uri)


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
        command = [sys.executable, "-P", "-m", "mlflow", "db", "upgrade", f"sqlite:///{beside}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            msg = f"{home.database}: MLflow cannot create its database: {done.stderr.strip()[-300:]}"
            raise SequelaError(msg)
        beside.rename(home.database)


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
            return str(client.create_experiment(name, location, {"mlflow.note.content": NOTE}))
        except MlflowException:  # another process was first
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        msg = f"experiment {name}: was deleted; restore it with `mlflow experiments restore`, or choose another name"
        raise SequelaError(msg)
    return str(experiment.experiment_id)
