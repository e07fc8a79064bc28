"""Training survives a tracking store that is down, slow or full, and refuses one that is wrongly configured."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
from preloaded import SEQUELA
from run_processes import deliver_all
from tracking_servers import MlflowServer

from experiments.courier import Courier, CourierProcess, courier_here
from experiments.home import Home
from experiments.log_items import Metrics, Params
from experiments.store import find_run, open_store, sync
from experiments.tracking import Tracker
from features.errors import SequelaError

N_STEPS = 300
OUTAGE_SECONDS = float(os.environ.get("SEQUELA_TEST_OUTAGE", "4"))
"""How long a server does not answer; set it to 60 to be sure."""


def train_a_little(tracker: Tracker, seconds: float) -> float:
    """Log a loss in each of many steps; the longest that training waited for tracking, in seconds."""
    longest = 0.0
    with tracker.ends_truthfully():
        for step in range(N_STEPS):
            time.sleep(seconds / N_STEPS)
            began = time.monotonic()
            tracker.log([Metrics({"loss": step / N_STEPS}, step)])
            longest = max(longest, time.monotonic() - began)
    return longest


def losses(run_id: str, home: Home) -> list[float]:
    history = open_store(home).get_metric_history(run_id, "loss")
    return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]


EVERY_LOSS = [step / N_STEPS for step in range(N_STEPS)]


@pytest.mark.parametrize("courier_of", [courier_here, CourierProcess])
def test_a_server_that_is_frozen_for_a_while_loses_nothing(
    server: MlflowServer,
    home: Home,
    courier_of: Callable[[Home], Courier],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with courier_of(home) as courier:
        tracker = Tracker.start(home, "outages", "frozen", courier=courier)
        server.signal(signal.SIGSTOP)
        threading.Timer(OUTAGE_SECONDS, lambda: server.signal(signal.SIGCONT)).start()
        longest = train_a_little(tracker, 1.25 * OUTAGE_SECONDS)
    deliver_all(home)
    (folder,) = home.runs.iterdir()
    assert losses(folder.name, home) == EVERY_LOSS
    assert open_store(home).get_run(folder.name).info.status == "FINISHED"
    assert longest < 1
    told = capfd.readouterr().err.count("sequela: tracking:")
    assert told == 1 or (told == 0 and courier_of is CourierProcess)  # it may still be importing PyTorch by the end


def test_a_run_whose_server_dies_and_one_that_begins_without_are_delivered_later(
    server: MlflowServer, home: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    bereft = Tracker.start(home, "outages", "bereft")
    assert not bereft.waiting
    server.stop()
    train_a_little(bereft, 0.5)
    assert bereft.waiting >= N_STEPS
    began = time.time()
    alone = Tracker.start(home, "outages", "alone")
    alone.log([Params({"seed": "0"})])
    train_a_little(alone, 0.3)
    ended = time.time()
    assert capfd.readouterr().err.count("`sequela sync`") == 2  # once each
    key = alone.run_id
    with pytest.raises(SequelaError, match="does not answer"):
        list(sync(home))

    server.start()
    done = subprocess.run([SEQUELA, "sync", key[:8]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = find_run(open_store(home), key)
    assert f"run {run.info.run_id}: {N_STEPS + 3} items delivered" in done.stdout
    deliver_all(home)
    assert list(sync(home)) == []
    assert (run.info.status, run.data.params) == ("FINISHED", {"seed": "0"})
    assert began - 0.1 <= run.info.start_time / 1000 <= run.info.end_time / 1000 <= ended + 0.1
    for run_id in (run.info.run_id, bereft.run_id):
        assert losses(run_id, home) == EVERY_LOSS
    assert {folder.name for folder in home.runs.iterdir()} == {run.info.run_id, bereft.run_id}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("MLFLOW_TRACKING_PASSWORD", "wrong", "check .*MLFLOW_TRACKING_PASSWORD", id="password"),
        pytest.param("MLFLOW_TRACKING_URI", "foo://there", "foo://there: .* check MLFLOW_TRACKING_URI", id="scheme"),
        pytest.param("MLFLOW_TRACKING_URI", "mydb://me:secret@there/db", "mydb://…@there/db: ", id="database"),
        pytest.param("MLFLOW_TRACKING_URI", "file:///nowhere", "check MLFLOW_TRACKING_URI", id="folder"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_begins(
    server: MlflowServer, home: Home, name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SequelaError, match=told) as error:
        Tracker.start(home, "outages", "refused")
    assert "secret" not in str(error.value)
    assert list(home.runs.iterdir()) == []


def test_a_full_disk_of_the_store_holds_nothing_up(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    """The database may not grow: a limit on the size of files stands in for a disk without space."""
    tracker = Tracker.start(home, "outages", "full")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (home.database.stat().st_size, limits[1]))
    try:
        with tracker.ends_truthfully():
            tracker.log(Metrics({f"m{i}": 0.5 for i in range(500)}, step) for step in range(10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert tracker.waiting > 0
    assert capfd.readouterr().err.count("sequela: tracking:") == 1
    waiting = tracker.waiting
    (synced,) = sync(home)
    assert synced.delivered == waiting
    run = open_store(home).get_run(tracker.run_id)
    assert (run.info.status, len(run.data.metrics)) == ("FINISHED", 500)
