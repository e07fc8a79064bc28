"""Who delivers what a run logs, so that training never waits for the tracking store."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from experiments.home import Home
from experiments.tracking.run_folder import RunFolder
from features.errors import SequelaError


class Courier(Protocol):
    """Delivers for one run after another."""

    def require_usable(self) -> None:
        """Make sure that the store is rightly configured; that it does not answer now, is no fault.

        Raises:
            SequelaError: Address, name, password or version are wrong.
        """

    def deliver_left(self) -> None:
        """Deliver what processes that are no more have left."""

    def begin(self, folder: RunFolder) -> None:
        """Deliver what a run has logged, and go on from time to time; the folder may bear MLflow's id afterwards.

        Raises:
            SequelaError: The store is wrongly configured.
        """

    def end(self, folder: RunFolder) -> None:
        """Deliver what is left of the run; returns when MLflow has it, or does not answer."""

    def close(self) -> None:
        """No other run follows."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""


def start_courier(home: Home) -> Courier:
    """A process where MLflow has not been imported yet: that takes seconds, which then pass beside this one."""
    return courier_here(home) if "mlflow" in sys.modules else CourierProcess(home)


def courier_here(home: Home) -> Courier:
    """A thread of this process."""
    from experiments.store.delivery import Delivery

    return Delivery(home)


class CourierProcess:
    """`experiments.store.process`, told what to do in lines of JSON.

    It outlives a killed process for a moment, to say in MLflow that the run was killed.
    """

    def __init__(self, home: Home) -> None:
        """Start it; it imports MLflow while this process goes on."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "experiments.store.process", str(home.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is this process's: it says how the run ended, and has that delivered
        )

    def require_usable(self) -> None:
        """See `Courier`."""
        self._ask("require_usable")

    def deliver_left(self) -> None:
        """See `Courier`; nobody waits for it."""
        self._tell("deliver_left")

    def begin(self, folder: RunFolder) -> None:
        """See `Courier`."""
        self._ask("begin", folder)

    def end(self, folder: RunFolder) -> None:
        """See `Courier`."""
        self._ask("end", folder)

    def close(self) -> None:
        """See `Courier`; whatever it is at, can be done again."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def _tell(self, what: str, folder: RunFolder | None = None) -> None:
        order = {"do": what, "folder": None if folder is None else str(folder.path)}
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.flush()

    def _ask(self, what: str, folder: RunFolder | None = None) -> None:
        self._tell(what, folder)
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line:
            code = self._process.wait()
            sys.stderr.write(
                f"sequela: tracking: the process that speaks to MLflow has ended (exit code {code}); the run goes on, "
                "and what it logs is kept: `sequela sync` delivers it\n"
            )
            return
        answer: dict[str, Any] = json.loads(line)
        if answer["error"] is not None:
            raise SequelaError(answer["error"])
        if folder is not None:
            folder.path = Path(answer["folder"])
