"""Real servers for tests of tracking: a PostgreSQL cluster, and MLflow's server with basic-auth."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from werkzeug.security import generate_password_hash

from experiments.services import free_port

USER, PASSWORD = "admin", "correct-horse-battery"


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL cluster of its own on a free port, as user postgres where tests run as root; yields its URI.

    The test is skipped where PostgreSQL is not installed.
    """
    tools = _postgres_tools()
    folder = Path(tempfile.mkdtemp(prefix="sequela-postgres-"))  # not under tmp_path: user postgres may not enter it
    as_postgres: list[str] = []
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_postgres = ["runuser", "-u", "postgres", "--"]
    data, port = folder / "data", free_port()

    def tool(name: str, *words: str) -> None:
        command = [*as_postgres, str(tools / name), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        assert done.returncode == 0, f"{name}: {done.stdout[-500:]} {done.stderr[-500:]}"

    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    tool("initdb", "-D", str(data), "-U", "sequela", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
    tool("pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://sequela@127.0.0.1:{port}/postgres"
    finally:
        tool("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _postgres_tools() -> Path:
    """The folder of initdb and pg_ctl."""
    found = shutil.which("pg_ctl")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if found is None and not debian:
        pytest.skip("no PostgreSQL: pg_ctl is neither on the PATH nor in /usr/lib/postgresql")
    return Path(found).parent if found else debian[-1].parent


class MlflowServer:
    """`mlflow server` with basic-auth on a store; it can be stopped, frozen, and started again on the same port."""

    def __init__(self, store: str, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True)
        settings = {
            "default_permission": "NO_PERMISSIONS",
            "database_uri": f"sqlite:///{folder / 'auth.db'}",
            "admin_username": USER,
            "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        }
        lines = ["[mlflow]", *(f"{key} = {value}" for key, value in settings.items())]
        (folder / "auth.ini").write_text("\n".join(lines), "utf-8")
        self._environment = os.environ | {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-this-test-alone",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        store_words = ["--backend-store-uri", store, "--artifacts-destination", (folder / "artifacts").as_uri()]
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        self._accounts = folder / "auth.db"
        self._command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", *store_words, *address]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Without credentials."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        }

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.answers():
                self._hash_quickly()
                return
            time.sleep(0.2)
        pytest.fail((self.folder / "server.log").read_text()[-2000:])

    def _hash_quickly(self) -> None:
        """Keep the password under a cheap hash: the default one costs the server a third of a second a request."""
        with closing(sqlite3.connect(self._accounts)) as accounts, accounts:
            cheap = generate_password_hash(PASSWORD, method="pbkdf2:sha256:1000")
            accounts.execute("UPDATE users SET password_hash = ?", (cheap,))

    def answers(self) -> bool:
        """Whether it lets the administrator in."""
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        url = f"{self.address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})
        try:
            with urllib.request.urlopen(request, timeout=5):
                return True
        except OSError:
            return False

    def signal(self, number: int) -> None:
        """To the server and its workers: SIGSTOP freezes them, SIGCONT lets them go on."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """Kill it with its workers."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait(20)
