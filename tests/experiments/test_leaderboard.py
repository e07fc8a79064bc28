"""Leaderboards: the same from the database as through MLflow, sorted as asked; and runs found whatever their number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from experiments.comparing.finished_runs import _from_client, finished_runs
from experiments.comparing.leaderboard import leaderboards, write_csv
from experiments.home import Home
from experiments.log_items import LogItem, Metrics, Params, Tags
from experiments.store import PARENT, find_run, open_store
from experiments.tracking import Tracker
from features.errors import SequelaError


@pytest.fixture
def client(home: Home) -> MlflowClient:
    return open_store(home)


def run(
    client: MlflowClient, home: Home, name: str, ibs: float, *, ipa: float = 0.1, endpoint: str = "infection"
) -> str:
    """A finished run with one child."""
    tracker = Tracker.start(home, "trial", name)
    named = {"endpoint": endpoint, "endpoint_digest": "d", "cause": "infection", "provenance": "simulated"}
    tags = {f"sequela.{key}": value for key, value in (named | {"cohort": "c", "model": "cox"}).items()}
    params = {"cohort": "A cohort", "validation.scheme": "cross_validation", "validation.folds": "5"}
    items: list[LogItem] = [Tags(tags), Params(params | {"validation.repeats": "2"})]
    scores = {"ibs/infection": ibs, "ibs_lo/infection": ibs - 0.01, "ipa/infection": ipa, "c/infection": float("nan")}
    with tracker.ends_truthfully():
        tracker.log([*items, Metrics(scores)])
        child = client.create_run(tracker.experiment_id, run_name="fold 0", tags={PARENT: tracker.run_id})
        client.log_param(child.info.run_id, "cohort", "A cohort")
        client.set_terminated(child.info.run_id)
    return tracker.run_id


def test_the_database_and_mlflow_say_the_same(client: MlflowClient, home: Home) -> None:
    ids = {run(client, home, name, ibs) for name, ibs in (("one", 0.2), ("two", 0.1))}
    unfinished = Tracker.start(home, "trial", "unfinished")
    unfinished.log([Tags({"sequela.endpoint": "infection"})])
    client.delete_run(run(client, home, "deleted", 0.05))
    fast, slow = (
        sorted(found, key=lambda one: one.run_id)
        for found in (finished_runs(home, "trial"), _from_client(home, "trial"))
    )
    assert {one.run_id for one in fast} == ids
    for one, other in zip(fast, slow, strict=True):
        assert (one.run_id, one.name, one.start_ms, one.end_ms) == (
            other.run_id,
            other.name,
            other.start_ms,
            other.end_ms,
        )
        assert (one.tags, one.params) == (other.tags, other.params)
        assert one.metrics == pytest.approx(other.metrics, nan_ok=True)


def test_a_database_that_looks_otherwise_is_left_to_mlflow(client: MlflowClient, home: Home) -> None:
    run(client, home, "one", 0.2)
    import sqlite3

    with sqlite3.connect(home.database) as store:
        store.execute("ALTER TABLE latest_metrics RENAME TO latest_metrics_of_another_version")
    with pytest.raises(Exception, match="latest_metrics"):  # MLflow's own word, not a wrong answer
        finished_runs(home, "trial")


def test_runs_are_ranked_by_what_is_asked(client: MlflowClient, home: Home, tmp_path: Path) -> None:
    run(client, home, "again", 0.05)
    for name, ibs, ipa in (("again", 0.3, 0.0), ("low", 0.1, 0.2), ("high", 0.2, 0.5)):
        run(client, home, name, ibs, ipa=ipa)
    run(client, home, "other", 0.01, endpoint="relapse")

    def ranked(**asked: object) -> list[str]:
        (board,) = leaderboards(home, "trial", endpoint="infection", **asked)  # type: ignore[arg-type]
        return list(board.table["run"])

    assert ranked() == ["low", "high", "again"]
    assert ranked(sort="ipa") == ["high", "low", "again"]
    assert ranked(sort="ipa/infection") == ["high", "low", "again"]
    assert ranked(every_run=True)[0] == "again"
    assert len(leaderboards(home, "trial")) == 2
    board = leaderboards(home, "trial", endpoint="infection")[0]
    assert set(board.table["fits"]) == {11}
    write_csv([board], tmp_path / "board.csv")
    assert list(pd.read_csv(tmp_path / "board.csv")["run"]) == ["low", "high", "again"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sort": "iba"}, "--sort iba: no run has this metric; did you mean ip"),
        ({"sort": "run"}, "--sort run: no run has this metric"),
        ({"endpoint": "death"}, "--endpoint death: no finished run .*there are runs of infection"),
    ],
    ids=["misspelt", "no number", "no such endpoint"],
)
def test_what_cannot_be_shown_is_named(client: MlflowClient, home: Home, asked: dict[str, str], message: str) -> None:
    run(client, home, "one", 0.2)
    with pytest.raises(SequelaError, match=message):
        leaderboards(home, "trial", **asked)  # type: ignore[arg-type]


def test_the_command_needs_no_mlflow_and_says_simulated(client: MlflowClient, home: Home) -> None:
    for number in range(3):
        run(client, home, f"run {number}", 0.1 + number / 100)
    code = (
        "import sys; from experiments.cli import main; sys.argv[1:] = ['leaderboard', 'trial', '--top', '2']\n"
        "try: main()\nfinally: print([m for m in ('mlflow', 'torch', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "[]" in done.stdout, done.stdout + done.stderr
    assert "simulated patients" in done.stdout
    assert "run 1" in done.stdout
    assert "run 2" not in done.stdout
    assert "and 1 more" in done.stdout


def test_runs_are_found_by_name_and_id_and_children_are_not(client: MlflowClient, home: Home) -> None:
    quoted, plain = run(client, home, "it's", 0.1), run(client, home, "plain", 0.1)
    assert find_run(client, "it's").info.run_id == quoted
    assert find_run(client, plain[:8]).info.run_id == plain
    assert find_run(client, plain).info.run_id == plain
    with pytest.raises(SequelaError, match="no run has this id or name"):
        find_run(client, "fold 0")
    with pytest.raises(SequelaError, match="cannot search"):
        find_run(client, "both ' and \"")
    with pytest.raises(SequelaError, match="no run has this id or name"):
        find_run(client, "%%%%")
    other = run(client, home, "plain", 0.1, endpoint="relapse")
    with pytest.raises(SequelaError, match="study different endpoints"):
        find_run(client, "plain")
    assert find_run(client, "plain", "relapse").info.run_id == other
