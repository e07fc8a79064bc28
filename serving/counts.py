"""What `/metrics` tells beside BentoML's own numbers: how requests ended, and what was unusual about patients.

Labels are names of paths, of models and of features; no value of any patient.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import chain
from typing import Any

from serving.messages import PredictAnswer, Prediction

PATHS = frozenset({"/v1/predict", "/v1/explain", "/v1/scores", "/v1/model", "/v1/schema", "/docs.json", "/readyz"})
"""Counted each; all others together, for paths come from outside."""
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
UNUSUAL = ("missing", "impossible", "outside_training_range", "unseen_levels")
"""What answers say of patients, and of which feature."""
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
            "sequela_unusual_inputs", "Patients of whom a feature was unusual, and how.", ["model", "how", "feature"]
        )

    def ended(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.seconds.labels(path if path in PATHS else "other", str(status)).observe(seconds)

    def predicted(self, answer: PredictAnswer) -> None:
        """Patients were predicted."""
        model = answer.model.version
        self.patients.labels(model).inc(len(answer.predictions))
        for how in UNUSUAL:
            for feature, n in _features(answer.predictions, how).items():
                self.unusual.labels(model, how, feature).inc(n)


def _features(predictions: Iterable[Prediction], how: str) -> Counter[str]:
    named = chain.from_iterable(getattr(prediction, how) for prediction in predictions)
    return Counter(_PLACE.sub("", name) for name in named)


@cache
def counts() -> Counts:
    """Of this process."""
    return Counts()
