"""Events: log items with the run and the time they belong to; as lines of JSON and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

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

RUN = ""
"""Key of the run itself; its children have names, such as ``fold 3``."""

_ITEMS = (Started, Ended, Params, Metrics, Tags, ExperimentTags, Dataset, Table, File, Model)
_KINDS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in _ITEMS}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is logged about a run or one of its children."""

    run: str
    """`RUN`, or a child's name."""
    time_ms: int
    """When it happened, in milliseconds since 1970."""
    item: LogItem

    def to_line(self) -> bytes:
        """JSON without line breaks."""
        content = {"run": self.run, "time_ms": self.time_ms, "kind": type(self.item).__name__} | asdict(self.item)
        return json.dumps(content, default=_plain).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Event:
        """The event that `to_line` wrote."""
        content = json.loads(line)
        run, time_ms, kind = (content.pop(key) for key in ("run", "time_ms", "kind"))
        return cls(run, time_ms, _KINDS[kind].validate_python(content))


def _plain(value: Path | np.generic) -> object:
    """Paths as text, numpy's numbers as Python's."""
    return str(value) if isinstance(value, Path) else value.item()


def open_runs(events: Iterable[Event]) -> dict[str, None]:
    """Keys of the runs that began and have not ended, in the order in which they began."""
    running: dict[str, None] = {}
    for event in events:
        if isinstance(event.item, Started):
            running.setdefault(event.run)
        elif isinstance(event.item, Ended):
            running.pop(event.run, None)
    return running


def end_of(events: Iterable[Event]) -> Status | None:
    """How the run itself ended last; None where it never did."""
    ends = [event.item.status for event in events if event.run == RUN and isinstance(event.item, Ended)]
    return ends[-1] if ends else None


def params_of(events: Iterable[Event]) -> dict[str, str]:
    """All parameters of the run itself."""
    params: dict[str, str] = {}
    for event in events:
        if event.run == RUN and isinstance(event.item, Params):
            params |= event.item.values
    return params
