"""A challenger in the shadow of the champion: it answers the same requests a moment later, for the ledger alone.

Nobody waits for it and nobody is told what it says; `sequela follow-up` compares the two once outcomes are known.
"""

from __future__ import annotations

import logging
import queue
import threading

import bentoml
from bentoml.exceptions import BentoMLException

from features.errors import InputError, SequelaError
from serving.answer import answer
from serving.counts import counts
from serving.following import Served, load
from serving.ledger import Ledger
from serving.messages import PredictRequest

logger = logging.getLogger("bentoml.sequela")

MOST_WAITING = 256
"""Requests; what comes while so many wait is not shown to the challenger."""


class Shadow:
    """One challenger of this process.

    Args:
        ledger: Where its answers go.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.served: Served | None = None
        self._ledger = ledger
        self._waiting: queue.Queue[PredictRequest] = queue.Queue(MOST_WAITING)

    def start(self, tag: str) -> None:
        """Load a challenger and let it answer from now on, in a thread of its own; what is refused is logged."""
        try:
            self.served = load(bentoml.models.get(tag))
        except (SequelaError, BentoMLException) as error:
            logger.error("Model %s does not stand in the shadow: %s", tag, error)
            return
        logger.info("Model %s stands in the shadow", tag)
        threading.Thread(target=self._answer_for_ever, args=(self.served,), name="shadow", daemon=True).start()

    def show(self, request: PredictRequest) -> None:
        """Let the challenger answer a request that the champion has answered, when there is time."""
        if self.served is None:
            return
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            counts().shadowed(self.served.tag, "dropped")

    def _answer_for_ever(self, served: Served) -> None:
        while True:
            how = self._answer(served, self._waiting.get())
            counts().shadowed(served.tag, how)

    def _answer(self, served: Served, request: PredictRequest) -> str:
        """How it went."""
        try:
            self._ledger.predicted(answer(served.artifact, served.tag, request), shadow=True)
        except InputError:  # what the champion takes, another may not
            return "refused"
        except Exception as error:  # noqa: BLE001  (its message may hold a patient's value)
            logger.error("Model %s failed in the shadow: %s", served.tag, type(error).__name__)
            return "failed"
        return "answered"
