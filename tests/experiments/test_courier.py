"""The process that delivers beside one that trains: whatever becomes of either, nothing is lost."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from mlflow.entities import Run

from experiments.courier import CourierProcess
from experiments.home import Home
from experiments.log_items import Metrics
from experiments.store import open_store, sync
from experiments.tracking import RunFolder, Tracker
from features.errors import SequelaError

PATIENCE_SECONDS = 60
TRAINS = """
import signal
import sys
import time
from pathlib import Path
from experiments.courier import start_courier
from experiments.home import Home
from experiments.log_items import Metrics
from experiments.tracking import Tracker
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `sequela` does
with start_courier(Home(Path(sys.argv[1]))) as courier:
    tracker = Tracker.start(Home(Path(sys.argv[1])), "beside", "one", courier=courier)
    with tracker.ends_truthfully():
        for step in range(5):
            tracker.log([Metrics({"loss": step / 5}, step)])
        print("mlflow" in sys.modules, flush=True)
        time.sleep(float(sys.argv[2]))
"""
"""A program that trains for some seconds, and tells whether it has imported MLflow."""


@pytest.fixture
def courier(home: Home) -> Iterator[CourierProcess]:
    open_store(home)
    with CourierProcess(home) as started:
        yield started


def training(home: Home, seconds: float) -> subprocess.Popen[str]:
    """The program, once it has logged; it has not imported MLflow."""
    command = [sys.executable, "-c", TRAINS, str(home.folder), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "False\n"
    return process


def the_run(home: Home) -> Run:
    (folder,) = home.runs.iterdir()
    return open_store(home).get_run(folder.name)


def test_a_run_is_delivered_to_its_end_by_a_process_beside(home: Home) -> None:
    with training(home, 0) as process:
        pass
    assert process.returncode == 0
    run = the_run(home)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 0.8})
    assert list(sync(home)) == []


@pytest.mark.parametrize(
    ("how", "within"),
    [pytest.param(signal.SIGKILL, PATIENCE_SECONDS, id="kill"), pytest.param(signal.SIGTERM, 0, id="term")],
)
def test_a_run_that_is_killed_is_marked_at_once(home: Home, how: signal.Signals, within: float) -> None:
    """By the courier, before any other command of ours."""
    with training(home, 600) as process:
        process.send_signal(how)
    until = time.monotonic() + within
    while the_run(home).info.status == "RUNNING" and time.monotonic() < until:
        time.sleep(0.1)
    run = the_run(home)
    assert (run.info.status, run.data.metrics) == ("KILLED", {"loss": 0.8})
    (folder,) = RunFolder.all_of(home)
    assert folder.status == "killed"


def test_one_courier_delivers_for_one_run_after_another(home: Home, courier: CourierProcess) -> None:
    for name in ("one", "two"):
        tracker = Tracker.start(home, "beside", name, courier=courier)
        with tracker.ends_truthfully():
            tracker.log([Metrics({"loss": 0.5})])
        assert tracker.waiting == 0
        assert tracker.folder.name == tracker.run_id
        run = open_store(home).get_run(tracker.run_id)
        assert (run.info.run_name, run.info.status) == (name, "FINISHED")


def test_runs_go_on_without_their_courier(
    home: Home, courier: CourierProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    one = Tracker.start(home, "beside", "bereft", courier=courier)
    courier._process.kill()
    with one.ends_truthfully():
        one.log([Metrics({"loss": 0.5})])
    two = Tracker.start(home, "beside", "alone", courier=courier)
    with two.ends_truthfully():
        pass
    assert (one.waiting, two.waiting) == (2, 2)
    assert capfd.readouterr().err.count("`sequela sync` delivers it") == 1
    assert sorted((synced.delivered, synced.killed) for synced in sync(home)) == [(2, False), (2, False)]
    assert {open_store(home).get_run(folder.name).info.status for folder in home.runs.iterdir()} == {"FINISHED"}


def test_a_run_that_is_killed_while_it_awaits_the_store_is_marked(home: Home) -> None:
    """The store answers late: its database is still being made by somebody else."""
    home.folder.mkdir(exist_ok=True)
    lock = (home.folder / ".mlflow.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = subprocess.Popen([sys.executable, "-c", TRAINS, str(home.folder), "600"])
    until = time.monotonic() + PATIENCE_SECONDS
    while not list(home.runs.glob("*/delivery.lock")) and time.monotonic() < until:
        time.sleep(0.1)
    process.kill()
    process.wait()
    lock.close()
    while not marked(home) and time.monotonic() < until:
        time.sleep(0.1)
    assert marked(home)
    assert list(sync(home)) == []


def marked(home: Home) -> bool:
    """Whether MLflow knows of the one run that it was killed."""
    client = open_store(home)
    found = client.get_experiment_by_name("beside")
    runs = [] if found is None else client.search_runs([found.experiment_id])
    return [run.info.status for run in runs] == ["KILLED"]


def test_nothing_of_the_folder_where_one_trains_is_run(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(home)
    (tmp_path / "features.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    with CourierProcess(home) as courier:
        tracker = Tracker.start(home, "beside", "elsewhere", courier=courier)
        with tracker.ends_truthfully():
            pass
        assert tracker.waiting == 0


def test_a_wrong_configuration_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://there")
    refused = pytest.raises(SequelaError, match=r"foo://there: .* check MLFLOW_TRACKING_URI")
    with CourierProcess(home) as courier, refused:
        Tracker.start(home, "beside", "refused", courier=courier)
    assert list(home.runs.iterdir()) == []
