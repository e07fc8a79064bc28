"""A fitted risk model: encoder and predictor together, patients in, incidences out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.encoder import Encoded, PatientEncoder
from features.errors import SequelaError
from features.patients import Patients
from training.models.incidence import CumulativeIncidence
from training.models.predictor import CellAttention, KnownSamples, Predictor
from training.models.seeing import attention_of, embedding_of, materials_of, seeing


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
        if materials := materials_of(self.predictor):
            encoded = with_missing_cells(encoded, KnownSamples.of(patients), materials)
        return self._incidence(encoded.x, patients, times_days), encoded

    def embedding(self, patients: Patients) -> NDArray[np.float64]:
        """(rows, width): what networks of cells make of the samples of each row; NaN of rows without any.

        Of a model that looks at no cells the width is 0.
        """
        looks = bool(materials_of(self.predictor))
        return embedding_of(self.predictor, KnownSamples.of(patients) if looks else KnownSamples.none(len(patients)))

    def attention(self, patients: Patients) -> CellAttention:
        """How much each cell of each sample known by the landmark counted.

        Raises:
            SequelaError: The model does not look at single cells.
        """
        if not materials_of(self.predictor):
            msg = f"model.kind: {self.predictor.kind} pays no attention to single cells; choose kind: attention"
            raise SequelaError(msg)
        return attention_of(self.predictor, KnownSamples.of(patients))

    def _incidence(
        self, x: NDArray[np.float64], patients: Patients, times_days: NDArray[np.float64]
    ) -> CumulativeIncidence:
        times = np.asarray(times_days, dtype=float)
        values = seeing(self.predictor, patients).incidence(x, patients.landmark_day, times)
        return CumulativeIncidence(np.clip(values, 0.0, 1.0), times, self.causes).check()


def with_missing_cells(encoded: Encoded, samples: KnownSamples, materials: tuple[str, ...]) -> Encoded:
    """The report with ``samples.<material>`` for rows of which no cell of a material is known, where it is not yet."""
    there = set(zip(samples.row.tolist(), samples.material.tolist(), strict=True))
    missing = tuple(
        tuple(dict.fromkeys((*names, *(f"samples.{m}" for m in materials if (row, m) not in there))))
        for row, names in enumerate(encoded.missing)
    )
    return replace(encoded, missing=missing)
