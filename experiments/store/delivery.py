"""A thread that delivers what a run logs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from math import inf
from types import TracebackType
from typing import Self

from experiments.home import Home
from experiments.log_items import Metrics
from experiments.store.failures import OutageError
from experiments.store.interpreter import Interpreter
from experiments.store.sync import deliver_left, settle
from experiments.store.system_metrics import SystemMetrics
from experiments.tracking.events import RUN, Event
from experiments.tracking.run_folder import RunFolder
from features.errors import SequelaError

PAUSE_SECONDS = 2.0
"""Between deliveries; what is logged meanwhile goes together."""
SHARE = 0.02
"""Of the time that deliveries may take: the pause after each is as many times longer."""
LONGEST_PAUSE_SECONDS = 120.0
"""Between attempts, of a slow store, or of one that does not answer."""
FAREWELL_SECONDS = 300.0
"""How long the end of a run waits for one that neither delivers nor fails."""


class Delivery:
    """A courier (see `experiments.courier`) in the process that orders it: a thread while a run goes on."""

    def __init__(self, home: Home) -> None:
        """Nothing is sent yet."""
        self._home = home
        self._round: _Round | None = None

    def deliver_left(self) -> None:
        """See `Courier`; it takes no more than some seconds."""
        deliver_left(self._home)

    def begin(self, folder: RunFolder) -> None:
        """See `Courier`."""
        self.contact(folder)
        folder.adopt_delivered()
        self.go_on(folder)

    def contact(self, folder: RunFolder) -> None:
        """The first half of `begin`: deliver, before anything is fitted.

        Raises:
            SequelaError: The store is wrongly configured. That it does not answer, is no error.
        """
        self._round = _Round(self._home, folder)
        self._round.first_contact()

    def go_on(self, folder: RunFolder) -> None:
        """The second half of `begin`: from now on, deliver in the background. The folder's name may be another."""
        if self._round is not None:
            self._round.start(folder)

    def end(self, folder: RunFolder) -> None:
        """See `Courier`."""
        if self._round is not None:
            self._round.end()
            folder.adopt_delivered()

    def abandon(self, folder: RunFolder) -> None:
        """The run's process is gone: mark the run killed and deliver what is left, unless another goes on with it."""
        if self._round is not None and folder.path.exists():
            settle(folder)
            self._round.end()
        else:
            deliver_left(self._home)

    def close(self) -> None:
        """See `Courier`; there is nothing to close."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """See `close`."""


class _Round:
    """Deliveries of one run: from time to time while it goes on, and all that is left at its end."""

    def __init__(self, home: Home, folder: RunFolder) -> None:
        self._folder, self._interpreter = folder, Interpreter(home, folder)
        self._system = SystemMetrics(self._log_system, float(folder.record["started"]))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sequela-tracking", daemon=True)
        self._warned = False
        self._pause = PAUSE_SECONDS

    def first_contact(self) -> None:
        """Deliver in this thread; see `Delivery.contact`."""
        try:
            self._interpreter.deliver()
        except OutageError as error:
            self._warn(error)

    def start(self, folder: RunFolder) -> None:
        """Deliver in the background from now on."""
        self._folder.path = folder.path
        self._thread.start()

    def end(self) -> None:
        """Deliver what is left."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(FAREWELL_SECONDS)
        else:  # an order to go on never came
            self._attempt()
        for refused in self._interpreter.refused:
            sys.stderr.write(f"sequela: tracking: MLflow refused {refused}\n")

    def _work(self) -> None:
        due = 0.0
        while not self._closing.wait(min(PAUSE_SECONDS, self._system.interval_seconds)):
            self._sample()
            if time.monotonic() >= due:
                due = self._attempt()
        left = inf
        while (waiting := self._folder.outbox.waiting()) and waiting < left:  # until an attempt delivers nothing
            left = waiting
            self._attempt()

    def _sample(self) -> None:
        try:
            self._system.sample()
        except Exception as error:  # noqa: BLE001  no reading of a fan is worth a run's metrics
            self._warn(error)

    def _attempt(self) -> float:
        """Deliver; when to do so again."""
        began = time.monotonic()
        try:
            self._interpreter.deliver()
        except (OutageError, SequelaError) as error:
            self._warn(error)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            return time.monotonic() + self._pause
        except Exception as error:  # noqa: BLE001  whatever ails MLflow, training goes on, and nothing is lost
            self._warn(error)
            return time.monotonic() + LONGEST_PAUSE_SECONDS
        self._pause = PAUSE_SECONDS
        ended = time.monotonic()
        return ended + min((ended - began) / SHARE, LONGEST_PAUSE_SECONDS)

    def _log_system(self, values: Mapping[str, float], seconds: int) -> None:
        self._folder.outbox.append([Event(RUN, int(time.time() * 1000), Metrics(values, seconds))], safely=False)

    def _warn(self, error: Exception) -> None:
        """Once."""
        if not self._warned:
            self._warned = True
            with suppress(OSError):  # the terminal may be gone
                sys.stderr.write(
                    f"sequela: tracking: the store does not take what is logged ({error}); the run goes on, and it is "
                    "kept and delivered later: when the store answers, or by `sequela sync`\n"
                )
