"""The folder of the stores, the tracking store, unfinished runs, and what serves."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from experiments.doctor.line import Line, State
from experiments.home import RUN_FILE, Home

PATIENCE_S = 3.0
"""How long a server may take to answer."""
LEAST_DISK_GIB = 5.0
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def examine_stores(home: Home) -> Iterator[Line]:
    """Whether runs can be written and tracked, which did not finish, and what serves."""
    yield from _folder(home)
    tracking = examine_tracking(home.tracking_uri)
    yield tracking
    yield from _unfinished(home)
    yield _bentoml(home)
    sqlite_to_come = home.tracking_uri.startswith("sqlite:") and not home.database.exists()
    if tracking.state == "ok" and find_spec("mlflow") is not None and not sqlite_to_come:
        yield from _champions(home)


def _folder(home: Home) -> Iterator[Line]:
    folder = next(one for one in (home.folder, *home.folder.parents) if one.exists())
    if os.access(folder, os.W_OK):
        yield Line("SEQUELA_HOME", "ok", str(home.folder))
    else:
        remedy = "set SEQUELA_HOME to a folder of yours"
        yield Line("SEQUELA_HOME", "fail", f"{home.folder}: cannot be written", remedy)
    free = shutil.disk_usage(folder).free / 2**30
    state: State = "ok" if free >= LEAST_DISK_GIB else "note" if free >= 1 else "fail"
    remedy = "" if state == "ok" else "free some space, or set SEQUELA_HOME to a folder on a larger disk"
    yield Line("disk", state, f"{free:.1f} GiB free", remedy)


def examine_tracking(uri: str) -> Line:
    """Whether the tracking store answers, within seconds; credentials in its address are not shown."""
    parts = urlsplit(uri)
    shown = uri.replace(f":{parts.password}@", ":***@") if parts.password else uri
    remedy = "start its server, or correct MLFLOW_TRACKING_URI"
    try:
        if parts.scheme == "sqlite":
            remedy = "another program holds it, or it belongs to another user; see who with `lsof`, and its permissions"
            return Line("tracking", "ok", shown + _try_sqlite(Path(uri.removeprefix("sqlite:///"))))
        if parts.scheme in {"http", "https"}:
            return _try_http(uri, shown)
        if parts.scheme.partition("+")[0] in PORTS and parts.hostname:
            port = parts.port or PORTS[parts.scheme.partition("+")[0]]
            socket.create_connection((parts.hostname, port), PATIENCE_S).close()
    except (OSError, sqlite3.Error, ValueError) as error:
        return Line("tracking", "fail", f"{shown}: {error}", remedy)
    return Line("tracking", "ok", shown)


def _try_sqlite(path: Path) -> str:
    """Take the right to write, and give it back."""
    if not path.exists():
        return "; the first run will make it"
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", timeout=PATIENCE_S, uri=True)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()
    return ""


def _try_http(uri: str, shown: str) -> Line:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PATIENCE_S):  # noqa: S310  (http by its scheme)
            return Line("tracking", "ok", shown)
    except urllib.error.HTTPError as error:
        if error.code in {401, 403}:
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            return Line("tracking", "note", f"{shown}: wants to know who asks", remedy)
        return Line("tracking", "fail", f"{shown}: answers {error.code}", "is it an MLflow server?")


def _unfinished(home: Home) -> Iterator[Line]:
    records = [json.loads(path.read_text("utf-8")) for path in sorted(home.runs.glob(f"*/{RUN_FILE}"))]
    open_ones = [record for record in records if record["status"] != "finished"]
    if open_ones:
        named = ", ".join(f"{record['run_id'][:8]} ({record['status']})" for record in open_ones[:5])
        remedy = "`sequela train RUN.yaml --resume` goes on with one; remove the folders of those you gave up"
        detail = f"{len(open_ones)} of {len(records)} in {home.runs} did not finish: {named}"
        yield Line("runs", "note", detail + (", …" if len(open_ones) > 5 else ""), remedy)
    else:
        yield Line("runs", "ok", f"{len(records)} in {home.runs}, all finished" if records else "none yet")


def _bentoml(home: Home) -> Line:
    models = [path for path in home.bentoml.glob("models/*/*") if path.is_dir()]
    size = sum(file.stat().st_size for path in models for file in path.rglob("*") if file.is_file())
    detail = f"{home.bentoml}: {len(models)} models, {size / 2**20:.1f} MiB" if models else "no model was promoted yet"
    return Line("bentoml store", "ok", detail)


def _champions(home: Home) -> Iterator[Line]:
    """What serves, and whether its copy is where `sequela serve` looks for it."""
    for name, value in {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}.items():
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException

    from experiments.promotion import registry
    from experiments.store import every, open_store
    from features.errors import SequelaError

    try:
        client = open_store(home)
        names = [model.name for model in every(client.search_registered_models)]
        champions = [registry.find_champion(client, name) for name in names if registry.champion_version(client, name)]
    except (MlflowException, SequelaError) as error:
        detail = str(error).splitlines()[0]
        yield Line("champion", "fail", detail, "does the store belong to another version of MLflow? see `versions`")
        return
    for one in champions:
        detail = f"{one.endpoint} version {one.version}, {one.bento_tag}"
        if (home.bentoml / "models" / one.bento_tag.replace(":", "/")).is_dir():
            yield Line("champion", "ok", detail)
        else:
            remedy = f"`sequela promote {one.run_id[:8]}` puts it back"
            yield Line("champion", "fail", f"{detail}: not in {home.bentoml}", remedy)
    if not champions:
        yield Line("champion", "ok", "none yet; `sequela promote RUN` makes one")
