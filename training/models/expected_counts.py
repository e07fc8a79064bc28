"""How many events to expect from any landmark of training, as it is served: one set of effects, a mean a landmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray
from training.models.mean_count import ProportionalMeans
from training.models.predictor import Arrays


@dataclass(frozen=True, slots=True)
class ExpectedCounts:
    """E N(t | x) = μ_l(t) exp(x·β), with a mean μ_l of its own for each landmark l, and effects β that all share.

    Ghosh & Lin, Stat Sinica 2002;12:663–688, stratified by landmark as Cox's model is by strata. N counts the events
    of interest after the landmark, earlier ones not, until an event ends the counting, after which it stays. Made by
    `training.fitting.mean_count.fit_by_landmark`.
    """

    landmark_days: tuple[float, ...]
    """Of training, ascending."""
    means: tuple[ProportionalMeans, ...]
    """Of each: all of the same effects and penalty."""

    def __post_init__(self) -> None:
        known = [np.concatenate([one.beta, one.times_days, one.increments]) for one in self.means]
        fits = len(self.means) == len(self.landmark_days) > 0
        fits &= all(one.times_days.shape == one.increments.shape for one in self.means)
        if not fits or not np.isfinite(np.concatenate([[0.0], *known])).all():
            msg = f"expected numbers of {len(self.landmark_days)} landmarks: finite means are needed, one of each"
            raise ValueError(msg)
        if any((one.increments < 0).any() or (np.diff(one.times_days) <= 0).any() for one in self.means):
            msg = "expected numbers: means grow, at ascending times"
            raise ValueError(msg)

    @property
    def beta(self) -> FloatArray:
        """(features,): logarithms of ratios of means."""
        return self.means[0].beta

    @property
    def penalty(self) -> float:
        """Ridge penalty on them."""
        return self.means[0].penalty

    def expected(self, x: FloatArray, landmark_day: FloatArray, times_days: FloatArray) -> FloatArray:
        """Expected numbers (rows, times); NaN of rows of another day than the landmarks of training.

        Constant after the last day on which anybody of training had an event, as the risks of Cox models are.

        Args:
            x: (rows, features), the encoder's matrix.
            landmark_day: (rows,).
            times_days: (times,): from the landmark.
        """
        expected = np.full((len(x), len(times_days)), np.nan)
        for day, mean in zip(self.landmark_days, self.means, strict=True):
            rows = landmark_day == day
            expected[rows] = mean.expected_count(x[rows], times_days)
        return expected

    def state(self) -> dict[str, NDArray[Any]]:
        """Named arrays; with `landmark_days`, `n_times` and `penalty`, `from_state` rebuilds it."""
        times, increments = (
            np.concatenate([getattr(one, name) for one in self.means]) for name in ("times_days", "increments")
        )
        return {"beta": self.beta, "times_days": times, "increments": increments}

    @property
    def n_times(self) -> tuple[int, ...]:
        """Distinct days of events from each landmark."""
        return tuple(len(one.times_days) for one in self.means)

    @classmethod
    def from_state(cls, landmark_days: Sequence[float], n_times: Sequence[int], penalty: float, arrays: Arrays) -> Self:
        """Rebuild what `state` described.

        Raises:
            ValueError, LookupError: The parts do not fit together.
        """
        times, increments, beta = arrays["times_days"], arrays["increments"], arrays["beta"]
        if times.shape != (sum(n_times),) or times.shape != increments.shape or beta.ndim != 1:
            msg = f"expected numbers: {times.shape} times, {increments.shape} increments of {sum(n_times)} days"
            raise ValueError(msg)
        ends = np.cumsum(n_times)[:-1]
        by_landmark = zip(np.split(times, ends), np.split(increments, ends), strict=True)
        return cls(tuple(landmark_days), tuple(ProportionalMeans(beta, *one, penalty) for one in by_landmark))
