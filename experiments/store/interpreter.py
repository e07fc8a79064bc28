"""The one interpreter of log items that speaks to MLflow. What is delivered twice does no harm."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

from experiments.home import Home
from experiments.log_items import (
    Dataset,
    Ended,
    ExperimentTags,
    File,
    LogItem,
    Metrics,
    Model,
    Params,
    Started,
    Status,
    Table,
    Tags,
)
from experiments.store.connection import KEY, PARENT, connect, experiment_id
from experiments.store.failures import RefusedError, asking
from experiments.store.model import log_model
from experiments.tracking.events import RUN, Event
from experiments.tracking.outbox import Delivered
from experiments.tracking.run_folder import RunFolder

PARAM_LIMIT = 6000
"""Longest parameter value MLflow keeps."""
BATCH_LIMIT = 800
TEXT_LIMIT = 100
"""MLflow takes 1,000 values in one request, of which 100 may be parameters, and 100 tags."""
SMALL = Params | Metrics | Tags
"""Items of which many go in one request."""


class Interpreter:
    """Delivers what waits in a run's outbox."""

    def __init__(self, home: Home, folder: RunFolder) -> None:
        """`folder` is the run's; nothing is sent yet."""
        self._home, self._folder = home, folder
        self._client: MlflowClient | None = None
        self.refused: list[str] = []
        """What MLflow would not take, and why."""

    def deliver(self) -> None:
        """Deliver everything that waits, in order.

        Raises:
            OutageError: The store does not answer; what is left, waits.
            SequelaError: The configuration is wrong; what is left, waits.
        """
        outbox = self._folder.outbox
        with self._folder.delivering():
            state = outbox.delivered()
            for events, behind in batches(outbox.read(state.position)):
                if self._client is None:
                    self._client = connect(self._home)
                try:
                    self._deliver(self._client, events, state)
                except RefusedError:
                    for event in events:
                        self._deliver_alone(self._client, event, state)
                state.position = behind
                outbox.acknowledge(state)

    def _deliver_alone(self, client: MlflowClient, event: Event, state: Delivered) -> None:
        """What MLflow will never take must not hold up what follows."""
        try:
            self._deliver(client, [event], state)
        except RefusedError as error:
            self.refused.append(f"{type(event.item).__name__}: {error}")

    def _deliver(self, client: MlflowClient, events: Sequence[Event], state: Delivered) -> None:
        first = events[0]
        with asking(self._home):
            match first.item:
                case Started():
                    self._open(client, first, first.item, state)
                case Ended(status):
                    _end(client, _id(state, first.run), status, first.time_ms)
                case Params() | Metrics() | Tags():
                    _log_batch(client, _id(state, first.run), events)
                case _:
                    self._log_large(client, _id(state, first.run), first)

    def _open(self, client: MlflowClient, event: Event, item: Started, state: Delivered) -> None:
        """Create a run, or find the one that was created before; either is running then."""
        key = self._folder.record["key"] + ("" if event.run == RUN else f"/{event.run}")
        if event.run == RUN or state.experiment is None:
            state.experiment = experiment_id(client, self._home, item.experiment)
        if event.run not in state.runs and state.trying == state.position:  # MLflow's answer may have been lost
            found = client.search_runs([state.experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
            if found:
                state.runs[event.run] = found[0].info.run_id
        if event.run in state.runs:
            client.update_run(state.runs[event.run], status="RUNNING")
            return
        state.trying = state.position
        self._folder.outbox.acknowledge(state)
        tags = {**item.tags, KEY: key} | ({} if event.run == RUN else {PARENT: _id(state, RUN)})
        run = client.create_run(state.experiment, event.time_ms, tags, item.name)
        state.runs[event.run] = run.info.run_id

    def _log_large(self, client: MlflowClient, run_id: str, event: Event) -> None:
        match event.item:
            case Dataset() as item:
                data = MlflowDataset(
                    item.name, item.digest, "local", item.source, profile=json.dumps(dict(item.profile))
                )
                tags = [InputTag(name, value[:500]) for name, value in item.context.items()]
                client.log_inputs(run_id, [DatasetInput(data, tags)])
            case ExperimentTags(values):
                for name, value in values.items():
                    client.set_experiment_tag(client.get_run(run_id).info.experiment_id, name, value)
            case Table() as item:
                _log_table(client, run_id, item)
            case File(path, folder):
                path = self._folder.path / path
                if not path.exists():
                    msg = f"{path} is no longer there"
                    raise RefusedError(msg)
                log = client.log_artifacts if path.is_dir() else client.log_artifact
                log(run_id, str(path), folder or None)
            case Model() as item:
                metrics = [metric for told in self._folder.outbox.events() for metric in _results(told)]
                log_model(client, run_id, self._folder.path / item.path, item.requirements, metrics)


def log_to(client: MlflowClient, run_id: str, items: Iterable[LogItem]) -> None:
    """Log parameters, metrics, tags and files to a run that ended, past its outbox; paths are absolute."""
    now = int(time.time() * 1000)
    for item in items:
        if isinstance(item, File):
            client.log_artifact(run_id, str(item.path), item.folder or None)
        else:
            _log_batch(client, run_id, [Event(RUN, now, item)])


def _id(state: Delivered, run: str) -> str:
    """MLflow's id of a run."""
    if run not in state.runs:
        msg = "its run was refused"
        raise RefusedError(msg)
    return state.runs[run]


def _end(client: MlflowClient, run_id: str, status: Status, time_ms: int) -> None:
    if status == "PRUNED":
        client.set_tag(run_id, "sequela.status", "pruned")
    client.set_terminated(run_id, "KILLED" if status == "PRUNED" else status, time_ms)  # MLflow knows no pruned runs


def _log_batch(client: MlflowClient, run_id: str, events: Sequence[Event]) -> None:
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics = []
    for event in events:
        match event.item:
            case Params(values):
                params |= values
            case Tags(values):
                tags |= values
            case Metrics(values, step):
                metrics += _metrics(values, event.time_ms, step)
    all_params = [Param(name, value[:PARAM_LIMIT]) for name, value in params.items()]
    all_tags = [RunTag(name, value) for name, value in tags.items()]
    for start in range(0, max(len(all_params), len(all_tags), 1), TEXT_LIMIT):
        part = slice(start, start + TEXT_LIMIT)
        client.log_batch(run_id, metrics if start == 0 else (), all_params[part], all_tags[part])


def _metrics(values: Mapping[str, float], time_ms: int, step: int) -> list[Metric]:
    return [Metric(name, float(value), time_ms, step) for name, value in values.items()]


def _results(event: Event) -> list[Metric]:
    """Metrics of the run itself at step 0: its scores, and where its curves begin."""
    match event:
        case Event(run, time_ms, Metrics(values, 0)) if run == RUN:
            return _metrics(values, time_ms, 0)
    return []


def _log_table(client: MlflowClient, run_id: str, item: Table) -> None:
    """What MLflow's own `log_table` writes; that one adds the rows again when it is called again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / item.name
        pd.DataFrame(dict(item.columns)).to_json(path, orient="split", index=False)
        client.log_artifact(run_id, str(path))
    tables = json.loads(client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
    entry = {"path": item.name, "type": "table"}
    if entry not in tables:
        client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([*tables, entry]))


def batches(events: Iterator[tuple[Event, int]]) -> Iterator[tuple[list[Event], int]]:
    """Put neighbours together that go in one request; each batch with the position behind it."""
    batch: list[Event] = []
    size = behind = 0
    for event, position in events:
        values = len(event.item.values) if isinstance(event.item, SMALL) else BATCH_LIMIT
        if batch and (event.run != batch[0].run or size + values > BATCH_LIMIT):
            yield batch, behind
            batch, size = [], 0
        batch.append(event)
        size, behind = size + values, position
    if batch:
        yield batch, behind
