"""A thread that delivers what a run logs, so that training never waits for the tracking store."""

from __future__ import annotations

import sys
import threading
import time
from math import inf

from experiments.tracking.failures import OutageError
from experiments.tracking.interpreter import Interpreter
from experiments.tracking.system_metrics import SystemMetrics
from features.errors import SequelaError

PAUSE_SECONDS = 2.0
"""Between deliveries; what is logged meanwhile goes together."""
SHARE = 0.02
"""Of the time that deliveries may take: the pause after each is as many times longer."""
LONGEST_PAUSE_SECONDS = 120.0
"""Between attempts, of a slow store, or of one that does not answer."""
FAREWELL_SECONDS = 300.0
"""How long the end of a run waits for one that neither delivers nor fails."""


class Courier:
    """Delivers from time to time while the run goes on, and all that is left at its end."""

    def __init__(self, interpreter: Interpreter, system: SystemMetrics) -> None:
        """Nothing is sent before `start`, except by `first_contact`."""
        self._interpreter, self._system = interpreter, system
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sequela-tracking", daemon=True)
        self._warned = False
        self._pause = PAUSE_SECONDS

    def first_contact(self) -> None:
        """Deliver in this thread, before anything is fitted.

        Raises:
            SequelaError: The store is wrongly configured. That it does not answer, is no error.
        """
        try:
            self._interpreter.deliver()
        except OutageError as error:
            self._warn(error)

    def start(self) -> None:
        """From now on, deliver in the background."""
        self._thread.start()

    def close(self) -> None:
        """Deliver what is left; return when MLflow has it, or does not answer."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(FAREWELL_SECONDS)
        for refused in self._interpreter.refused:
            sys.stderr.write(f"sequela: tracking: MLflow refused {refused}\n")

    def _work(self) -> None:
        due = 0.0
        while not self._closing.wait(min(PAUSE_SECONDS, self._system.interval_seconds)):
            self._system.sample()
            if time.monotonic() >= due:
                due = self._attempt()
        left = inf
        while (waiting := self._interpreter.waiting) and waiting < left:  # until an attempt delivers nothing
            left = waiting
            self._attempt()

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

    def _warn(self, error: Exception) -> None:
        """Once."""
        if not self._warned:
            self._warned = True
            sys.stderr.write(
                f"sequela: tracking: the store does not take what is logged ({error}); the run goes on, and it is kept "
                "and delivered later: when the store answers, or by `sequela sync`\n"
            )
