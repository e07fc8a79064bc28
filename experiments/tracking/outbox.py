"""What a run logs, kept in its folder until MLflow has it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from experiments.tracking.events import Event


@dataclass(slots=True)
class Delivered:
    """How much of an outbox MLflow has."""

    position: int = 0
    """Bytes from the start of the outbox that are delivered."""
    trying: int = -1
    """The position whose delivery was begun: where a process was killed then, MLflow may have it already."""
    runs: dict[str, str] = field(default_factory=dict)
    """MLflow's ids, by key of the run."""
    experiment: str | None = None
    """MLflow's id of the experiment, once the run is known to it."""


class Outbox:
    """``outbox.jsonl``: events in order; ``delivered.json``: how far MLflow has them."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the run's."""
        self.path = folder / "outbox.jsonl"
        self._delivered = folder / "delivered.json"

    def append(self, events: Iterable[Event], *, safely: bool = True) -> None:
        """Add events; they outlive this process, and where added safely a power cut, too.

        One write, so that events of two processes do not mix.
        """
        lines = b"".join(event.to_line() + b"\n" for event in events)
        with self.path.open("ab", buffering=0) as file:
            file.write(lines)
            if safely:
                os.fsync(file.fileno())

    def repair(self) -> None:
        """Cut off the line that a killed process did not finish."""
        if self.path.exists():
            content = self.path.read_bytes()
            os.truncate(self.path, content.rfind(b"\n") + 1)

    def read(self, position: int = 0) -> Iterator[tuple[Event, int]]:
        """Yield the whole events from a position on, each with the position behind it."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):  # is being written
                    return
                position += len(line)
                yield Event.from_line(line), position

    def events(self) -> list[Event]:
        """All events."""
        return [event for event, _ in self.read()]

    def delivered(self) -> Delivered:
        """How much MLflow has."""
        try:
            return Delivered(**json.loads(self._delivered.read_text("utf-8")))
        except FileNotFoundError:
            return Delivered()

    def acknowledge(self, delivered: Delivered) -> None:
        """Record how much MLflow has, beside and then renamed."""
        beside = self._delivered.with_suffix(".part")
        beside.write_text(json.dumps(asdict(delivered)), "utf-8")
        beside.rename(self._delivered)

    def waiting(self) -> int:
        """Events that MLflow does not have."""
        return sum(1 for _ in self.read(self.delivered().position))
