"""The stream is pure: it goes to disk and comes back, and tells what is still open, without any server."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.log_items import Dataset, Ended, File, Metrics, Model, Params, Started, Table, Tags
from experiments.store.interpreter import BATCH_LIMIT, batches
from experiments.tracking.events import RUN, Event, end_of, open_runs, params_of
from experiments.tracking.outbox import Outbox

EVERY_KIND = [
    Started("trial", "one", {"a": "b"}),
    Params({"model.kind": "cox"}),
    Metrics({"ibs": 0.1, "worst": float("inf")}, 3),
    Tags({"note": "line\nbreak, ä"}),
    Dataset("cohort", "abc", "folder", {"patients": 3}, {"mlflow.data.context": "training"}),
    Table("scores.json", {"metric": ["ibs"], "point": [0.1]}),
    File(Path("report/cif.png"), "figures"),
    Model(Path("artifact"), ("torch==2.13.0",)),
    Ended("PRUNED"),
]


def test_every_kind_comes_back_from_disk(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    events = [Event("fold 0", number, item) for number, item in enumerate(EVERY_KIND)]
    outbox.append(events[:4])
    outbox.append(events[4:], safely=False)
    assert outbox.events() == events


def test_a_line_that_was_not_finished_is_neither_read_nor_kept(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    whole = Event(RUN, 1, Params({"seed": "0"}))
    outbox.append([whole])
    with outbox.path.open("ab") as file:
        file.write(whole.to_line()[:-5])
    assert outbox.events() == [whole]
    outbox.repair()
    outbox.append([whole])
    assert outbox.events() == [whole, whole]


def test_open_runs_and_ends() -> None:
    started, ended = Started("trial", "one"), Ended("FINISHED")
    events = [Event(run, 0, started) for run in (RUN, "fold 0", "fold 1")] + [Event("fold 0", 1, ended)]
    assert list(open_runs(events)) == [RUN, "fold 1"]
    assert end_of(events) is None
    events += [Event(RUN, 2, Ended("KILLED")), Event(RUN, 3, started), Event("fold 1", 3, Params({"other": "1"}))]
    assert list(open_runs(events)) == ["fold 1", RUN]
    assert end_of(events) == "KILLED"
    assert params_of([*events, Event(RUN, 4, Params({"seed": "0"}))]) == {"seed": "0"}


@pytest.mark.parametrize("n_epochs", [3, BATCH_LIMIT, 2 * BATCH_LIMIT + 1])
def test_neighbours_travel_together_and_in_order(n_epochs: int) -> None:
    losses = [Event("fold 0", epoch, Metrics({"loss": 0.1}, epoch)) for epoch in range(n_epochs)]
    events = [Event(RUN, 0, Started("trial", "one")), *losses, Event("fold 0", 9, Ended("FINISHED"))]
    parts = list(batches(iter([(event, position) for position, event in enumerate(events, 1)])))
    assert [event for batch, _ in parts for event in batch] == events
    assert parts[0][0] == events[:1]
    assert parts[-1] == (events[-1:], len(events))
    assert len(parts) == 2 + -(-n_epochs // BATCH_LIMIT)
