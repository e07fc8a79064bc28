"""A fitted risk model: encoder and predictor together, patients in, incidences out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.encoder import Encoded, PatientEncoder
from features.patients import Patients
from training.models.incidence import CumulativeIncidence
from training.models.predictor import Predictor


@dataclass(frozen=True, slots=True)
class FittedRiskModel:
    """What is fitted, tracked, promoted and served."""

    encoder: PatientEncoder
    predictor: Predictor
    causes: tuple[str, ...]

    def predict_incidence(self, patients: Patients, times_days: NDArray[np.float64]) -> CumulativeIncidence:
        """Cumulative incidences (patients, causes, times), counted from each patient's landmark day."""
        return self._incidence(self.encoder.transform(patients), patients, times_days)

    def explain_input(self, patients: Patients, times_days: NDArray[np.float64]) -> tuple[CumulativeIncidence, Encoded]:
        """Incidences, and what was missing, impossible, unseen or outside the training range of each patient."""
        encoded = self.encoder.encode(patients)
        return self._incidence(encoded.x, patients, times_days), encoded

    def _incidence(
        self, x: NDArray[np.float64], patients: Patients, times_days: NDArray[np.float64]
    ) -> CumulativeIncidence:
        times = np.asarray(times_days, dtype=float)
        values = self.predictor.incidence(x, patients.landmark_day, times)
        return CumulativeIncidence(np.clip(values, 0.0, 1.0), times, self.causes).check()
