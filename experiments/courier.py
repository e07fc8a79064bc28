"""Who delivers to MLflow what a run logs, so that training never waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from features.errors import SequelaError

if TYPE_CHECKING:  # the process is started before anything is imported that can be imported beside it
    from experiments.home import Home
    from experiments.tracking.run_folder import RunFolder


class Courier(Protocol):
    """Delivers for one run after another."""

    def deliver_left(self) -> None:
        """Deliver what processes that are no more have left, as far as it goes in some seconds."""

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
    """`experiments.courier_process`, told what to do in lines of JSON.

    It outlives a process that is killed by a moment, to say in MLflow that the run was.
    """

    def __init__(self, home: Home) -> None:
        """Start it; it imports MLflow while this process goes on."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "experiments.courier_process", str(home.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is this process's: it says how the run ended, and has that delivered
        )
        self._orders = 0
        self._lost = False
        self._listener = threading.Thread(target=self._pass_on, name="sequela-courier", daemon=True)
        self._listener.start()

    def deliver_left(self) -> None:
        """See `Courier`; it is not waited for, unless the run ends meanwhile."""
        self._tell("deliver_left")

    def begin(self, folder: RunFolder) -> None:
        """See `Courier`."""
        self._ask("contact", folder)
        folder.adopt_delivered()
        self._tell("go_on", folder)

    def end(self, folder: RunFolder) -> None:
        """See `Courier`."""
        self._ask("end", folder)
        folder.adopt_delivered()

    def close(self) -> None:
        """See `Courier`; whatever it is at, can be done again."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]  # all three are there

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def _tell(self, what: str, folder: RunFolder | None = None) -> None:
        self._orders += 1
        order = {"number": self._orders, "do": what, "folder": None if folder is None else str(folder.path)}
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order).encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]

    def _ask(self, what: str, folder: RunFolder | None = None) -> None:
        self._tell(what, folder)
        for line in self._process.stdout:  # type: ignore[union-attr]
            answer: dict[str, Any] = json.loads(line)
            if answer["number"] == self._orders:  # the others were not waited for
                if answer["error"] is not None:
                    raise SequelaError(answer["error"])
                return
        if not self._lost:
            self._lost = True
            code = self._process.wait()
            sys.stderr.write(
                f"sequela: tracking: the process that speaks to MLflow has ended (exit code {code}); the run goes on, "
                "and what it logs is kept: `sequela sync` delivers it\n"
            )

    def _pass_on(self) -> None:
        """What it says, through this process's stderr: progress bars would wipe it away otherwise."""
        for line in self._process.stderr:  # type: ignore[union-attr]
            sys.stderr.write(line.decode(errors="replace"))
