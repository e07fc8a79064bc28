"""A challenger in the shadow of the champion: it answers the same requests a moment later, for the ledger alone.

Nobody waits for it and nobody is told what it says; `sequela follow-up` compares the two once outcomes are known.
"""

from __future__ import annotations

import logging
import queue
import threading

import bentoml

from features.errors import InputError
from serving.answer import answer
from serving.counts import counts
from serving.following import Served, load
from serving.ledger import Ledger
from serving.messages import PredictRequest

logger = logging.getLogger("bentoml.sequela")

MOST_PATIENTS, MOST_VALUES = 1_000, 10_000_000
"""That wait, and values of their cells; what comes meanwhile is not shown to the challenger."""


class Shadow:
    """One challenger of this process.

    Args:
        ledger: Where its answers go.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.served: Served | None = None
        self._ledger = ledger
        self._lock = threading.Lock()
        self._patients = self._values = 0
        self._waiting: queue.SimpleQueue[PredictRequest] = queue.SimpleQueue()

    def start(self, tag: str) -> None:
        """Load a challenger and let it answer from now on, in a thread of its own; what is refused is logged."""
        try:
            self.served = load(bentoml.models.get(tag))
        except Exception as error:  # noqa: BLE001  whatever it is, the champion serves
            logger.error("Model %s does not stand in the shadow: %s", tag, error)
            return
        logger.info("Model %s stands in the shadow", tag)
        threading.Thread(target=self._answer_for_ever, args=(self.served,), name="shadow", daemon=True).start()

    def show(self, request: PredictRequest, champion: str) -> None:
        """Let the challenger answer a request that the champion has answered, when there is time.

        Args:
            request: What was answered.
            champion: Tag of the model that did; the challenger itself, once it was promoted, answers nothing twice.
        """
        if self.served is None or self.served.tag == champion:
            return
        patients, values = _size(request)
        with self._lock:
            full = self._patients + patients > MOST_PATIENTS or self._values + values > MOST_VALUES
            if not full:
                self._patients, self._values = self._patients + patients, self._values + values
        if full:
            counts().shadowed(self.served.tag, "dropped")
        else:
            self._waiting.put(request)

    def _answer_for_ever(self, served: Served) -> None:
        while True:
            request = self._waiting.get()
            how = self._answer(served, request)
            patients, values = _size(request)
            with self._lock:
                self._patients, self._values = self._patients - patients, self._values - values
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


def _size(request: PredictRequest) -> tuple[int, int]:
    """Patients, and values of their cells."""
    return len(request.patients), sum(sample.n_values for one in request.patients for sample in one.samples)
