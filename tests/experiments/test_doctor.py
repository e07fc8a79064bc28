"""What `sequela doctor` finds, and what it advises."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from experiments.doctor import Line, installation, machine, stores
from experiments.doctor.installation import examine_installation, examine_versions
from experiments.doctor.stores import examine_stores, examine_tracking
from experiments.home import Home
from experiments.promotion.registry import CHAMPION, TAG
from experiments.services import free_port
from experiments.store import open_store
from experiments.tracking import Tracker


@contextmanager
def answering(code: int) -> Iterator[str]:
    """A server that gives every request the same status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def of(lines: Iterator[Line], subject: str) -> list[Line]:
    return [line for line in lines if line.subject == subject]


def test_this_installation_is_sound_and_the_answer_is_json(home: Home) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "sequela", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    lines = {line["subject"]: line for line in json.loads(done.stdout)}
    assert {"python", "torch", "versions", "git", "processor", "memory", "accelerator", "disk"} <= set(lines)
    assert lines["tracking"]["detail"] == f"sqlite:///{home.database}"
    assert lines["champion"]["detail"].startswith("none yet")
    assert all(line["remedy"] for line in lines.values() if line["state"] != "ok")


def test_malicious_and_absent_packages_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "installed", {"lightning": "2.6.3"}.get)
    (lightning,) = of(examine_installation(), "lightning")
    assert lightning.state == "fail"
    assert "malicious" in lightning.detail
    (torch,) = of(examine_installation(), "torch")
    assert (torch.state, torch.detail) == ("fail", "not installed")


def test_versions_other_than_those_tested_are_noted() -> None:
    here = version("numpy")
    assert examine_versions(f"numpy=={here}\nnot-there==1.0\n# a==2\n").detail == "all 1 packages as tested"
    other = examine_versions(f"numpy==0.1\npydantic=={version('pydantic')}\n")
    assert (other.state, other.detail) == ("note", f"1 of 2 packages differ: numpy {here} (tested 0.1)")


def test_a_container_s_memory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = machine.memory_gib()
    monkeypatch.setattr(machine, "LIMIT_FILE", tmp_path / "memory.max")
    for text, expected in (("max\n", whole), (f"{2**30}\n", 1.0)):
        machine.LIMIT_FILE.write_text(text)
        assert machine.memory_gib() == expected
    (memory,) = of(machine.examine_machine(), "memory")
    assert memory.state == "note"


def test_a_database_that_another_program_holds_is_a_failure(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PATIENCE_S", 0.1)
    with closing(sqlite3.connect(home.database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert examine_tracking(home.tracking_uri).state == "fail"
        other.rollback()
    assert examine_tracking(home.tracking_uri).state == "ok"
    home.database.write_text("this is no database")
    assert "not a database" in examine_tracking(home.tracking_uri).detail


@pytest.mark.parametrize(("code", "state"), [(200, "ok"), (401, "note"), (404, "fail")])
def test_a_server_is_asked(code: int, state: str) -> None:
    with answering(code) as uri:
        assert examine_tracking(uri).state == state


@pytest.mark.parametrize("scheme", ["http", "postgresql", "postgresql+psycopg2"])
def test_a_server_that_is_not_there_is_a_failure_at_once(scheme: str) -> None:
    start = time.monotonic()
    line = examine_tracking(f"{scheme}://someone:secret@127.0.0.1:{free_port()}/runs")
    assert line.state == "fail"
    assert line.remedy
    assert time.monotonic() - start < stores.PATIENCE_S + 1
    assert "secret" not in line.detail
    assert "someone:***@" in line.detail


def test_unfinished_runs_are_named(home: Home) -> None:
    for number, status in enumerate(("finished", "running", "failed")):
        folder = home.runs / f"run{number}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"run_id": f"{number}" * 32, "status": status}))
    (line,) = of(examine_stores(home), "runs")
    assert line.state == "note"
    assert "2 of 3" in line.detail
    assert "11111111 (running), 22222222 (failed)" in line.detail
    assert "--resume" in line.remedy


def test_a_champion_without_its_copy_is_a_failure(home: Home) -> None:
    client = open_store(home)
    tracker = Tracker.start(home, "trial", "one")
    client.create_registered_model("infection")
    version = client.create_model_version("infection", "file:///nowhere", run_id=tracker.run_id)
    client.set_model_version_tag("infection", version.version, TAG, "sequela:v1-abc")
    client.set_registered_model_alias("infection", CHAMPION, version.version)
    (line,) = of(examine_stores(home), "champion")
    assert line.state == "fail"
    assert line.remedy.startswith(f"`sequela promote {tracker.run_id[:8]}`")
    (home.bentoml / "models" / "sequela" / "v1-abc").mkdir(parents=True)
    (line,) = of(examine_stores(home), "champion")
    assert line.state == "ok"


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores.os, "access", lambda *_: False)  # root may write everywhere
    (line,) = of(examine_stores(Home(tmp_path / "a" / "b")), "SEQUELA_HOME")
    assert line.state == "fail"
    assert "SEQUELA_HOME" in line.remedy
