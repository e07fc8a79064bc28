"""The two protocols of models: a `RiskModel` takes patients, a `Predictor` takes the encoder's matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from features.patients import Patients
from training.models.incidence import CumulativeIncidence

Arrays = Mapping[str, NDArray[Any]]
"""Named arrays as they go into weights.safetensors."""
Sizes = dict[str, Any]
"""Plain JSON: what is needed beside the arrays to rebuild a predictor."""


class RiskModel(Protocol):
    """Anything that turns patients into cumulative incidences."""

    causes: tuple[str, ...]

    def predict_incidence(self, patients: Patients, times_days: NDArray[np.float64]) -> CumulativeIncidence:
        """Cumulative incidences of shape (patients, causes, times), counted from each patient's landmark day."""
        ...


class Predictor(Protocol):
    """The fitted part of a risk model that comes after the encoder; plain arrays inside, no pickle anywhere."""

    kind: ClassVar[str]
    """Name under which manifests and configurations know it."""

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times) of encoded patients x (rows, features), from their landmark days (rows,)."""
        ...

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Everything needed to rebuild the predictor: plain JSON, and named arrays."""
        ...

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """The predictor that `state` described."""
        ...
