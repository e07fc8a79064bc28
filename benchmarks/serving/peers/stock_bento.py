"""BentoML with its defaults."""

from __future__ import annotations

import bentoml

from benchmarks.serving.peers.model import MODEL
from features.records import PatientRecord
from serving.answer import answer
from serving.messages import PredictAnswer, PredictRequest


@bentoml.service(name="stock")
class Stock:
    """Takes the fields of the request as arguments, as BentoML's examples do."""

    @bentoml.api(route="/v1/predict")
    def predict(self, patients: list[PatientRecord], horizons_days: list[float] | None = None) -> PredictAnswer:
        """Predict."""
        horizons = None if horizons_days is None else tuple(horizons_days)
        return answer(MODEL, "peer", PredictRequest(patients=tuple(patients), horizons_days=horizons))
