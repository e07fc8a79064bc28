"""`sequela ui` and MLflow's pages on real runs, in a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
from browser import Browser
from mlflow.entities import Run
from mlflow_pages import WIDTH, choose_file, close_assistant
from preloaded import SEQUELA

from experiments.home import CONFIGS, Home
from experiments.services import free_port
from experiments.store import find_run, open_store
from experiments.ui_links import compare_link, remote_address, run_link
from features.errors import SequelaError

CONSOLE_SCRIPT = Path(sys.executable).parent / "sequela"
MODELS = ("aalen_johansen", "cox")
COLUMNS = ["sequela.model", "IBS", "IPA", "C", "AUC day 90", "AUC day 180", "AUC day 365"]


@dataclass(frozen=True)
class Served:
    """Two runs and the command that serves them."""

    home: Home
    command: subprocess.Popen[str]
    address: str
    links: dict[str, str]
    """URL by page."""
    runs: dict[str, Run]


@pytest.fixture(scope="module")
def store(migrated: Path, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("ui") / "store")
    home.folder.mkdir()
    shutil.copy(migrated, home.database)
    clinic = "features={measurements: [], cells: []}"
    overrides = ["experiment=pages", f"cohort={cohort}", "validation={folds: 3, bootstrap: 20}", clinic]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQUELA_HOME", str(home.folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        words = [word for value in overrides for word in ("--set", value)]
        runs = [CONFIGS / "run" / f"{model}.yaml" for model in MODELS]
        subprocess.run([SEQUELA, "train", *runs, *words], check=True, capture_output=True, timeout=300)
        yield home


@pytest.fixture(scope="module")
def served(store: Home) -> Iterator[Served]:
    """`sequela ui` itself is the server of all tests here."""
    port = free_port()
    command = subprocess.Popen(
        [CONSOLE_SCRIPT, "ui", "--port", str(port), "--allowed-hosts", "lab.example"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    links: dict[str, str] = {}
    assert command.stdout is not None
    for line in command.stdout:
        if line.startswith("MLflow on "):
            break
        if line.startswith("pages: severe_infection "):
            page, url = line.split()[-2:]
            links[page] = url
    assert set(links) == {"runs", "charts", "horizons"}
    client = open_store(store)
    runs = {model: find_run(client, model) for model in MODELS}
    try:
        yield Served(store, command, f"http://127.0.0.1:{port}", links, runs)
    finally:
        command.terminate()
        command.communicate(timeout=30)


def errors(browser: Browser) -> list[dict[str, Any]]:
    """Everything the page complained of, save what MLflow asks its own server in vain without accounts."""
    entries = [event["params"].get("entry", {}) for event in browser.said()]
    thrown = [event for event in browser.said() if event["method"] == "Runtime.exceptionThrown"]
    wrong = [entry for entry in entries if entry.get("level") == "error"]
    return thrown + [entry for entry in wrong if not entry.get("url", "").endswith("/users/current")]


def shown_columns(browser: Browser) -> list[str]:
    names: list[str] = browser.evaluate(
        "[...document.querySelectorAll('[role=columnheader]')].map(e => e.innerText.trim())"
    )
    return [name for name in dict.fromkeys(names) if name in COLUMNS]  # a header is in a header


def test_the_runs_page_shows_scores_with_intervals_best_first(served: Served, browser: Browser) -> None:
    close_assistant(browser, served.address)
    ready = "document.querySelectorAll('[role=gridcell]').length > 14"
    browser.open(served.links["runs"], WIDTH)
    browser.wait_for(ready)
    assert shown_columns(browser)[:4] == COLUMNS[:4], "without moving the table"
    browser.open(served.links["runs"], 2400)
    browser.wait_for(ready)
    assert shown_columns(browser) == COLUMNS
    text = browser.evaluate("[...document.querySelectorAll('[role=gridcell]')].map(e => e.innerText.trim())")
    for run in served.runs.values():
        assert " [" in run.data.tags["IBS"]
        assert {run.data.tags[column] for column in COLUMNS} <= set(text)
    ibs = {model: run.data.metrics["ibs/infection"] for model, run in served.runs.items()}
    rows = browser.evaluate("[...document.querySelectorAll('a[href*=\"/runs/\"]')].map(e => e.innerText.trim())")
    assert [row for row in rows if row] == sorted(MODELS, key=lambda model: ibs[model]), "best first, and no folds"
    assert "simulated" in text
    assert errors(browser) == []


def test_the_charts_are_few_and_their_names_fit(served: Served, browser: Browser) -> None:
    close_assistant(browser, served.address)
    browser.open(served.links["charts"], WIDTH)
    names = ["ibs/infection", "ipa/infection", "c/infection"]
    titles = "[...document.querySelectorAll('[data-testid=experiment-view-compare-runs-card] h4')]"
    browser.wait_for(f"{titles}.length && document.querySelectorAll('.js-plotly-plot .bars .point').length >= 6")
    assert browser.evaluate(f"{titles}.map(e => e.innerText.trim())") == names
    assert browser.evaluate(f"{titles}.filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)") == []
    assert errors(browser) == []


def test_scores_by_horizon_stand_side_by_side(served: Served, browser: Browser) -> None:
    browser.open(served.links["horizons"], WIDTH)
    browser.wait_for("document.body.innerText.includes('by day 365, from day 0')")
    auc = [run.data.tags["AUC day 365"] for run in served.runs.values()]
    for value in auc:
        browser.wait_for(f"document.body.innerText.includes('AUC {value}')")
    assert errors(browser) == []


def test_runs_are_compared_by_figures_and_tables(served: Served, browser: Browser) -> None:
    link = compare_link(served.address, list(served.runs.values()))
    browser.open(link.url, WIDTH)
    seen: list[str] = []
    for name in ("cif.png", "calibration.png"):
        choose_file(browser, name)
        figures = "[...document.images].filter(i => i.naturalWidth > 400).map(i => i.src)"
        new = f"[...new Set({figures})].filter(src => !{seen}.includes(src))"
        browser.wait_for(f"{new}.length === 2")
        seen += browser.evaluate(new)
    choose_file(browser, "by_horizon.json")
    for run in served.runs.values():
        browser.wait_for(f"document.body.innerText.includes('AUC {run.data.tags['AUC day 90']}')")
    assert errors(browser) == []


def test_the_experiment_and_the_run_say_what_they_are(served: Served, browser: Browser) -> None:
    browser.open(run_link(served.address, served.runs["cox"]).url, WIDTH)
    browser.wait_for("document.body.innerText.includes('(simulated patients)')")
    note = open_store(served.home).get_experiment_by_name("pages").tags["mlflow.note.content"]
    assert "integrated Brier score" in note
    assert "`simulated`" in note


def asked(served: Served, *words: str, uri: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({} if uri is None else {"MLFLOW_TRACKING_URI": uri})
    command = [SEQUELA, "ui", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


def test_of_a_remote_server_only_links_are_printed(served: Served) -> None:
    done = asked(served, *MODELS, uri=served.address)
    assert done.returncode == 0, done.stderr
    expected = compare_link(served.address, [served.runs[model] for model in MODELS])
    assert done.stdout.split()[-2:] == ["compare", expected.url]
    assert done.stderr == ""


@pytest.mark.parametrize(("host", "status"), [("lab.example", 200), ("evil.example", 403)])
def test_only_allowed_hosts_are_answered(served: Served, host: str, status: int) -> None:
    connection = HTTPConnection(served.address.removeprefix("http://"), timeout=30)
    connection.request("GET", "/", headers={"Host": host})
    assert connection.getresponse().status == status
    connection.close()


def test_a_taken_port_is_said_at_once(served: Served) -> None:
    done = asked(served, "--port", served.address.rpartition(":")[2])
    assert done.returncode == 1
    assert "choose another --port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_password_in_links(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@lab.example/mlflow/")
    assert remote_address(Home(tmp_path)) == "https://lab.example/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@lab.example/mlflow")
    assert remote_address(Home(tmp_path)) is None


def test_a_run_is_not_compared_with_itself(served: Served) -> None:
    with pytest.raises(SequelaError, match="named twice"):
        compare_link(served.address, [served.runs["cox"]] * 2)


def test_ctrl_c_ends_the_server_and_all_its_processes(served: Served) -> None:
    processes = psutil.Process(served.command.pid).children(recursive=True)
    assert processes
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # where the tests themselves run in the background
    served.command.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
    assert served.command.wait(30) == 0
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
