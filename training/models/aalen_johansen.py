"""The Aalen–Johansen estimator as a risk model: the same incidence for everyone. The null model of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.models.nonparametric import aalen_johansen, steps_at
from training.models.predictor import Arrays, Sizes


class AalenJohansen:
    """Cumulative incidences of all training patients, one curve a landmark day (Aalen & Johansen 1978)."""

    kind: ClassVar[str] = "aalen_johansen"

    def __init__(
        self,
        landmark_days: Sequence[float],
        times_days: Sequence[NDArray[np.float64]],
        values: Sequence[NDArray[np.float64]],
    ) -> None:
        """For each landmark day: times (t,) and incidences (causes, t)."""
        self.landmark_days = np.asarray(landmark_days, dtype=float)
        self.times_days = list(times_days)
        self.values = list(values)

    @classmethod
    def fit(cls, landmark_day: NDArray[np.float64], outcomes: Outcomes) -> Self:
        """Estimate one curve for each distinct landmark day of the training rows."""
        days = np.unique(landmark_day)
        curves = [aalen_johansen(outcomes.take(np.flatnonzero(landmark_day == day))) for day in days]
        return cls(days.tolist(), [curve.times_days for curve in curves], [curve.incidence for curve in curves])

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times) of the nearest landmark's curve; `x` is not looked at."""
        del x
        curves = np.stack(
            [
                steps_at(t, v, times_days, before_first=0.0, side="right")
                for t, v in zip(self.times_days, self.values, strict=True)
            ]
        )  # (landmarks, causes, times)
        nearest = np.abs(landmark_day[:, None] - self.landmark_days).argmin(axis=1)
        values: NDArray[np.float64] = curves[nearest]
        return values

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Landmark days, and a curve for each."""
        arrays = {f"times_{i}": times for i, times in enumerate(self.times_days)}
        arrays |= {f"values_{i}": values for i, values in enumerate(self.values)}
        return {"landmark_days": self.landmark_days.tolist()}, arrays

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        days = sizes["landmark_days"]
        n = range(len(days))
        return cls(days, [arrays[f"times_{i}"] for i in n], [arrays[f"values_{i}"] for i in n])
