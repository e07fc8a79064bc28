"""A run's folder: its record, its outbox, and the lock that tells whether its process lives."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.home import Home
from experiments.log_items import Ended, Status
from experiments.tracking.events import RUN, Event, open_runs
from experiments.tracking.outbox import Outbox

RECORD = "run.json"


class RunFolder:
    """The folder of one run. It bears MLflow's id of the run as soon as that is known and nobody works in it."""

    def __init__(self, path: Path) -> None:
        """`path` is the folder."""
        self.path = path
        self._lock: int | None = None

    @classmethod
    def create(cls, home: Home, **record: str | float) -> RunFolder:
        """A new folder, locked by this process; its name is an id of our own until MLflow has given one."""
        name = uuid.uuid4().hex
        folder = cls(home.runs / name)
        folder.path.mkdir(parents=True)
        folder.take()
        folder.mark(run_id=name, key=name, status="running", **record)
        return folder

    @classmethod
    def all_of(cls, home: Home) -> Iterator[RunFolder]:
        """Every run of a store that keeps an outbox.

        A folder may get another name while one looks at it: then its record is empty, and it cannot be taken.
        """
        for path in sorted(home.runs.glob(f"*/{RECORD}")):
            folder = cls(path.parent)
            if folder.outbox.path.exists():
                yield folder

    @property
    def status(self) -> str:
        """running, or how it ended; a killed process leaves it ``running``."""
        return str(self.record.get("status", ""))

    @property
    def identity(self) -> tuple[object, object]:
        """What a run is recognised by: digests of its configuration and its cohort."""
        return self.record.get("config"), self.record.get("cohort")

    @property
    def outbox(self) -> Outbox:
        """What the run logs."""
        return Outbox(self.path)

    @property
    def record(self) -> dict[str, Any]:
        """run_id, key (the name it was created with), status, and what the run is recognised by."""
        try:
            return dict(json.loads((self.path / RECORD).read_text("utf-8")))
        except FileNotFoundError:
            return {}

    def mark(self, **values: str | float) -> None:
        """Update the record, beside and then renamed."""
        beside = (self.path / RECORD).with_suffix(".part")
        beside.write_text(json.dumps(self.record | values, indent=1), "utf-8")
        beside.rename(self.path / RECORD)

    def take(self) -> bool:
        """Lock the folder for as long as this process lives; False where another living process has it.

        The kernel lets go of the lock when a process dies, however it dies.
        """
        try:
            lock = os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        if not self._is_here(lock):  # the folder got another name meanwhile
            os.close(lock)
            return False
        self._lock = lock
        self.outbox.repair()
        return True

    def _is_here(self, lock: int) -> bool:
        try:
            return os.path.samestat(os.fstat(lock), (self.path / "run.lock").stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Unlock it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def end_open_runs(self, status: Status, time_ms: int) -> None:
        """End the run and its open children, children first; write down how."""
        still_open = reversed(open_runs(self.outbox.events()))
        self.outbox.append(Event(run, time_ms, Ended(status)) for run in still_open)
        self.mark(status=status.lower())

    def adopt_delivered(self) -> None:
        """Let the folder bear MLflow's id, if that is known."""
        run_id = self.outbox.delivered().runs.get(RUN)
        if run_id is not None and run_id != self.path.name:
            self.mark(run_id=run_id)
            self.path = self.path.rename(self.path.with_name(run_id))

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Only one process delivers at a time: that of a killed run may still be at it when another goes on."""
        with (self.path / "delivery.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
