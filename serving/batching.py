"""Requests that wait at the same time are answered together: a model takes little longer for sixteen than for one.

Whoever comes first leads: answers all who wait, while the next gather behind, and hands over to them. As many as were
answered last time are given a moment to come: callers who ask again once they are answered then stay together, instead
of missing one another by a hair. Who is alone waits for nobody. Each still gets its own answer, of the model that
served when it came; where one of them is at fault, each is answered by itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")
MOST = 64
"""Requests that are answered at a time."""
MOMENT_SECONDS = 0.004
"""For which as many as last time are waited for."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Asked, Given]):
    asked: Asked
    kind: object
    given: list[Given] = field(default_factory=list)
    """One, once there is an answer."""
    error: BaseException | None = None
    woken: threading.Event = field(default_factory=threading.Event)

    @property
    def done(self) -> bool:
        return bool(self.given) or self.error is not None


class Together(Generic[Asked, Given]):
    """Gathers what several threads ask.

    Args:
        answer_all: Answers some requests, in their order.
        kind_of: Only requests of equal kind are answered together.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[Asked]], Sequence[Given]],
        kind_of: Callable[[Asked], object],
    ) -> None:
        self._answer_all, self._kind_of = answer_all, kind_of
        self._waiting: deque[_Waiting[Asked, Given]] = deque()
        self._led, self._expected = False, 1
        self._lock = threading.Lock()
        """Of the three above."""
        self._all_here = threading.Event()

    def ask(self, asked: Asked) -> Given:
        """The answer to one request.

        Raises:
            Exception: What answering it raises.
        """
        own: _Waiting[Asked, Given] = _Waiting(asked, self._kind_of(asked))
        with self._lock:
            self._waiting.append(own)
            if len(self._waiting) >= self._expected:
                self._all_here.set()
            leads, self._led = not self._led, True
        if not leads:
            own.woken.wait()  # there is an answer, or it is our turn to lead
        try:
            while not own.done:
                leads = True
                self._answer_next()
        finally:
            if leads:
                self._hand_over()
        if own.error is not None:
            raise own.error
        return own.given[0]

    def _hand_over(self) -> None:
        with self._lock:
            self._led = bool(self._waiting)
            if self._led:
                self._waiting[0].woken.set()

    def _answer_next(self) -> None:
        """Answer the first in the queue, and those after it that are of its kind."""
        self._all_here.wait(MOMENT_SECONDS)
        with self._lock:
            kind = self._waiting[0].kind
            batch = [one for one in self._waiting if one.kind == kind][:MOST]
            self._waiting = deque(one for one in self._waiting if one not in batch)
            self._expected = len(batch)
            if len(self._waiting) < self._expected:
                self._all_here.clear()
        try:
            self._answer(batch)
        except BaseException as error:
            for one in (one for one in batch if not one.done):
                one.error = RuntimeError(f"the answer was broken off by {type(error).__name__}")
            raise
        finally:
            for one in batch:
                one.woken.set()

    def _answer(self, batch: Sequence[_Waiting[Asked, Given]]) -> None:
        try:
            self._give(batch)
        except Exception as error:  # noqa: BLE001  whoever asked raises it
            if len(batch) == 1:
                batch[0].error = error
                return
            for one in batch:
                self._answer([one])

    def _give(self, batch: Sequence[_Waiting[Asked, Given]]) -> None:
        for one, given in zip(batch, self._answer_all([one.asked for one in batch]), strict=True):
            one.given.append(given)
