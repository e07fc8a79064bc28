"""Gradient-boosted hazards: trees move the level and the trend of each cause's hazard over follow-up."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.models.bins import interpolate
from training.models.predictor import Arrays, Sizes
from training.models.trees import BLOCK_ROWS, Trees

LARGEST_SHIFT = 10.0
"""Log hazard ratios against the base are held within ± this, so that no patient overflows."""


class Boosting:
    """Piecewise-exponential hazards of all causes; the incidence follows from them, so it grows and never exceeds 1.

    Cause k has in bin j the expected number of events m_kj = exp(base_kj + level_k(x) + trend_k(x) · place_j), where
    level and trend are sums over trees, and place_j is the bin's place in follow-up, standardised.
    """

    kind: ClassVar[str] = "boosting"

    def __init__(
        self,
        trees: Trees,
        values: NDArray[np.float64],
        cause: NDArray[np.int32],
        base: NDArray[np.float64],
        edges_days: NDArray[np.float64],
    ) -> None:
        """Trees, levels and trends (leaves, 2), cause of each tree (first: 0), base (causes, bins), edges of bins."""
        self.trees = trees
        self.values = values
        self.cause = cause
        self.base = base
        self.edges_days = edges_days

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times); smooth within bins, constant after the last one."""
        del landmark_day  # a feature, where there are several
        parts = []
        for rows in np.array_split(np.arange(len(x)), max(1, -(-len(x) // BLOCK_ROWS))):
            expected = np.exp(self.base + self.shifts(x[rows]))
            parts.append(interpolate(expected, -expected.sum(axis=1), self.edges_days, times_days))
        return np.concatenate(parts)

    def shifts(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log hazard ratios against the base (rows, causes, bins)."""
        n_causes, n_bins = self.base.shape
        leaves = self.trees.leaves(x)
        effect = np.stack([self.values[leaves[:, self.cause == k]].sum(axis=1) for k in range(n_causes)], axis=1)
        return shifts_of(effect, places(n_bins))

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Numbers of trees and bins; nodes, leaf values, base and edges."""
        sizes = {"trees": len(self.trees.root), "bins": self.base.shape[1]}
        arrays: dict[str, NDArray[Any]] = {"values": self.values, "cause": self.cause, "base": self.base}
        return sizes, self.trees.state() | arrays | {"edges_days": self.edges_days}

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        del sizes  # for the reader of a manifest; the arrays say it too
        own = (arrays[name] for name in ("values", "cause", "base", "edges_days"))
        return cls(Trees.from_state(arrays), *own)


def shifts_of(effect: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log hazard ratios (…, bins) of levels and trends (…, 2), given the bins' places."""
    return np.clip(effect[..., :1] + effect[..., 1:] * place, -LARGEST_SHIFT, LARGEST_SHIFT)


def places(n_bins: int) -> NDArray[np.float64]:
    """(bins,): where each bin stands in follow-up, with mean 0 and variance 1; 0 for a single bin."""
    place: NDArray[np.float64] = np.arange(n_bins, dtype=np.float64) - (n_bins - 1) / 2
    spread = float(np.sqrt(np.mean(place**2)))
    return np.divide(place, spread) if spread > 0 else place
