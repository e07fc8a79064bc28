"""What `/metrics` tells: how requests ended, and what was unusual about patients.

Labels are names of paths, of models and of features; no value of any patient.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from functools import cache
from typing import Any

from serving.messages import PredictAnswer

PATHS = frozenset(
    {
        "/v1/predict",
        "/v1/explain",
        "/v1/monitor",
        "/v1/states",
        "/v1/outcomes",
        "/v1/scores",
        "/v1/model",
        "/v1/schema",
        "/fhir/$predict-risk",
        "/cds-services/sequela-patient-view",
        "/cds-services/sequela-order-select",
        "/docs.json",
        "/readyz",
    }
)
"""Counted each; all others together, for paths come from outside."""
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
UNUSUAL = ("missing", "impossible", "outside_training_range", "unseen_levels", "happened")
"""What answers say of patients, and of which feature or event."""
TELL_SECONDS = 1.0
_PLACE = re.compile(r"\[\d+\]|: .*$")
"""Of a sample, and how many genes are absent: another label for each would be without end."""


class Counts:
    """Counters of one worker; BentoML adds the workers up.

    They are made at the first use and not at import: a worker learns only after importing the service where to write
    them.
    """

    def __init__(self) -> None:
        from prometheus_client import Counter as Counted
        from prometheus_client import Histogram

        self.seconds: Any = Histogram(
            "sequela_request_seconds", "Until a request was answered.", ["path", "status"], buckets=SECONDS
        )
        self.patients: Any = Counted("sequela_predicted_patients", "Patients predicted.", ["model"])
        self.unusual: Any = Counted(
            "sequela_unusual_inputs",
            "Patients of whom a feature or event was unusual, and how.",
            ["model", "how", "feature"],
        )
        self.shadowed_requests: Any = Counted(
            "sequela_shadowed_requests", "Requests shown to a challenger, and how it took them.", ["model", "how"]
        )
        self._lock = threading.Lock()
        self._waiting: Counter[tuple[str, str, str]] = Counter()
        self._predicted: Counter[str] = Counter()
        threading.Thread(target=self._tell_for_ever, name="tell-counts", daemon=True).start()

    def ended(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.seconds.labels(path if path in PATHS else "other", str(status)).observe(seconds)

    def predicted(self, answer: PredictAnswer) -> None:
        """Patients were predicted; told a moment later, for a hundred counters cost more than a prediction."""
        model, predictions = answer.model.version, answer.predictions
        unusual = [
            (model, how, name) for how in UNUSUAL for prediction in predictions for name in getattr(prediction, how)
        ]
        with self._lock:
            self._waiting.update(unusual)
            self._predicted[model] += len(predictions)

    def shadowed(self, model: str, how: str) -> None:
        """A request was shown to a challenger."""
        self.shadowed_requests.labels(model, how).inc()

    def tell(self) -> None:
        """Pass on what has gathered."""
        with self._lock:
            unusual, predicted = self._waiting, self._predicted
            self._waiting, self._predicted = Counter(), Counter()
        for model, n in predicted.items():
            self.patients.labels(model).inc(n)
        for (model, how, name), n in unusual.items():
            self.unusual.labels(model, how, _PLACE.sub("", name)).inc(n)

    def _tell_for_ever(self) -> None:
        while True:
            time.sleep(TELL_SECONDS)
            self.tell()


def exposition() -> tuple[bytes, str]:
    """What all workers have counted, and its media type."""
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    counts().tell()
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


_MAKING = threading.Lock()
"""Prometheus takes a counter once; two threads that come first at the same time would make it twice."""


def counts() -> Counts:
    """Of this process."""
    with _MAKING:
        return _made()


@cache
def _made() -> Counts:
    return Counts()
