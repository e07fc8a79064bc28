"""How our two servers are started: BentoML for predictions, MLflow for its UI."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.home import Home
from features.errors import SequelaError
from serving.access import is_loopback
from serving.keys import read_keys

CODE = Path(__file__).resolve().parents[1]
Command = tuple[list[str], dict[str, str]]
"""Arguments and environment of a process."""


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What a service does beside answering this machine about one model; see `serving.service`."""

    keys: Path | None = None
    """File of the keys of callers; None: only this machine is answered."""
    follow: Path | None = None
    """File that names the champion, whose changes are followed; None: the model stays."""
    audit: Path | None = None
    """File to which who asked for whom is appended; None: none is kept."""
    audit_keep_days: int | None = None
    """None: for ever."""
    ledger: Path | None = None
    """Folder in which predictions wait for outcomes; None: none are kept."""
    ledger_keep_days: int | None = None
    """None: for ever."""
    challenger: str | None = None
    """Model that answers the same requests for the ledger; None: none does."""
    workers: int = 1
    """Processes that answer."""
    public_url: str | None = None
    """Address under which others reach the service."""
    cds_clients: Path | None = None
    """File of the clients of CDS Hooks; None: they show keys like others."""
    feedback: Path | None = None
    """Folder in which cards and what became of them are kept; None: they are not."""
    feedback_keep_days: int | None = None
    """None: for ever."""
    time_zone: str | None = None
    """Name of IANA; by whose clock days are counted; None: UTC."""

    def environment(self) -> dict[str, str]:
        """Variables of the service; what is not wanted is empty, whatever the environment around says."""
        files = {
            "SEQUELA_KEYS": self.keys,
            "SEQUELA_FOLLOW": self.follow,
            "SEQUELA_AUDIT": self.audit,
            "SEQUELA_LEDGER": self.ledger,
            "SEQUELA_CDS_CLIENTS": self.cds_clients,
            "SEQUELA_FEEDBACK": self.feedback,
        }
        days = {
            "SEQUELA_AUDIT_KEEP_DAYS": self.audit_keep_days,
            "SEQUELA_LEDGER_KEEP_DAYS": self.ledger_keep_days,
            "SEQUELA_FEEDBACK_KEEP_DAYS": self.feedback_keep_days,
        }
        return {
            **{name: "" if file is None else str(file.resolve()) for name, file in files.items()},
            **{name: "" if kept is None else str(kept) for name, kept in days.items()},
            "SEQUELA_WORKERS": str(self.workers),
            "SEQUELA_SHADOW": self.challenger or "",
            "SEQUELA_PUBLIC_URL": self.public_url or "",
            "SEQUELA_TIME_ZONE": self.time_zone or "",
        }


def serve_command(
    home: Home, bento_tag: str, host: str, port: int, options: ServiceOptions = ServiceOptions()
) -> Command:
    """BentoML on one model of the serving store.

    Args:
        home: The store.
        bento_tag: The model.
        host: Address to listen on.
        port: Likewise.
        options: What else the service does.
    """
    environment = {"OTEL_SDK_DISABLED": "true", **os.environ} | {
        "BENTOML_HOME": str(home.bentoml),
        "SEQUELA_MODEL": bento_tag,
        "SEQUELA_USE": str(home.use),
        "BENTOML_DO_NOT_TRACK": "true",
        **options.environment(),
    }
    arguments = ["-m", "bentoml", "serve", "serving.service:RiskService", "--host", host, "--port", str(port)]
    return [sys.executable, *arguments, "--working-dir", str(CODE)], environment


def keys_for(home: Home, host: str, named: Path | None) -> Path | None:
    """The file of keys that guards a service; None where there is none and none is needed.

    Raises:
        SequelaError: The file that is named is not there or holds none, or others than this machine would be let in.
    """
    path = named or home.keys
    if read_keys(path):
        return path.resolve()
    if named is not None:
        msg = f"--keys {named}: holds no key; make one with `sequela keys add NAME --file {named}`"
        raise SequelaError(msg)
    if not is_loopback(host):
        msg = f"--host {host}: others than this machine could ask without a key; make one with `sequela keys add NAME`"
        raise SequelaError(msg)
    return None


def ui_command(
    home: Home, host: str, port: int, *, allowed_hosts: str | None = None, cors_allowed_origins: str | None = None
) -> Command:
    """MLflow's server on the store, without its job runner.

    Args:
        home: The store.
        host: Address to listen on.
        port: Likewise.
        allowed_hosts: Names, separated by commas, under which browsers may ask beside this machine's own; MLflow's
            default also has private networks.
        cors_allowed_origins: Other sites, separated by commas, whose pages may ask.
    """
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    store = ["--backend-store-uri", home.tracking_uri, "--default-artifact-root", home.mlflow_artifacts.as_uri()]
    address = ["--host", host, "--port", str(port), "--workers", "1"]
    hosts = (
        allowed_hosts and f"{allowed_hosts},localhost:{port},127.0.0.1:{port}"
    )  # MLflow's own list gives way to ours
    allowed = {"--allowed-hosts": hosts, "--cors-allowed-origins": cors_allowed_origins}
    security = [word for option, value in allowed.items() if value is not None for word in (option, value)]
    return [sys.executable, "-m", "mlflow", "server", *store, *address, *security], environment


def address_of(host: str, port: int) -> str:
    """Where a browser on this machine finds what listens on an address."""
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104  it is only read


def require_free(host: str, port: int) -> None:
    """Make sure that nobody listens at an address.

    Raises:
        SequelaError: Somebody does, or the address is not ours.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            msg = f"{host}:{port}: cannot listen there ({error.strerror}); choose another --port"
            raise SequelaError(msg) from error


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: list[str], environment: Mapping[str, str], ready_url: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it is stopped with all its children.

    Raises:
        SequelaError: It does not answer 200 at `ready_url` within 120 s; names the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_ready(process, ready_url, log)
        yield process
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own server
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    msg = f"the server did not become ready at {url}; its log is {log}"
    raise SequelaError(msg)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process group to end, and insist after 15 s."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(timeout=15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        else:
            return
