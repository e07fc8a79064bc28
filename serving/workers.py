"""The processes that answer: one that dies is replaced within seconds, and those that die for ever end the service.

BentoML looks after its workers every ten seconds, which no option of it changes, and replaces none in an image. So the
process above them (circus' arbiter) is told otherwise, before BentoML makes it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

LOOK_SECONDS = 1.0
"""Between two looks after the workers. A look costs a system call for each of them."""
MOST_REPLACED, WITHIN_SECONDS = 5, 120.0
"""Workers that may die within a time; one more, and the service ends, so that whoever started it sees it."""

logger = logging.getLogger("bentoml.sequela")


class Starts:
    """Says whether one more worker may be started: circus asks before it does.

    Args:
        n_workers: That run at a time.
    """

    def __init__(self, n_workers: int) -> None:
        self._first = n_workers
        self._at: deque[float] = deque()

    def __call__(self, **_: object) -> bool:
        """Whether; False ends the service."""
        if self._first:
            self._first -= 1
            return True
        now = time.monotonic()
        while self._at and self._at[0] < now - WITHIN_SECONDS:
            self._at.popleft()
        if len(self._at) >= MOST_REPLACED:
            logger.error("More than %d workers died within %g s: the service ends", MOST_REPLACED, WITHIN_SECONDS)
            return False
        self._at.append(now)
        return True


def look_after_workers() -> None:
    """Let the arbiter that this process makes from now on look after its workers."""
    with suppress(ImportError, AttributeError):  # should it be called otherwise some day, BentoML looks after them
        from bentoml._internal.utils import circus

        module: Any = circus
        module.Arbiter = _attentive(module.Arbiter)


def _attentive(kind: type[Any]) -> type[Any]:
    class Attentive(kind):  # type: ignore[misc]
        def __init__(self, watchers: Sequence[Any], **words: Any) -> None:  # noqa: ANN401  circus has no types
            for watcher in watchers:
                watcher.respawn = True
                watcher.hooks["before_spawn"] = Starts(watcher.numprocesses)
            super().__init__(watchers, **words | {"check_delay": LOOK_SECONDS})

    return Attentive
