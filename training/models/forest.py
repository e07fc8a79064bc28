"""Random forest for competing risks: every leaf holds the Aalen–Johansen incidences of the patients that grew it."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.models.predictor import Arrays, Sizes
from training.models.trees import BLOCK_ROWS, Trees

WHOLE = 65535
"""Leaf values are stored in parts of this, rounded down: no rounding breaks monotony or a sum of at most 1."""


class Forest:
    """Mean over trees of the incidences in a patient's leaf (Ishwaran et al., Biostatistics 2014;15:757–773)."""

    kind: ClassVar[str] = "forest"

    def __init__(self, trees: Trees, values: NDArray[np.uint16], grid_days: NDArray[np.float64]) -> None:
        """Trees, incidences (leaves, causes, grid) in parts of `WHOLE`, and the times of the grid, from 0 on."""
        self.trees = trees
        self.values = values
        self.grid_days = grid_days

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times): linear between the times of the grid, constant after the last one."""
        del landmark_day  # a feature, where there are several
        after = np.clip(np.searchsorted(self.grid_days, times_days, side="right"), 1, len(self.grid_days) - 1)
        start, end = self.grid_days[after - 1], self.grid_days[after]
        share = np.clip((times_days - start) / (end - start), 0.0, 1.0)
        blocks = np.array_split(np.arange(len(x)), max(1, -(-len(x) // BLOCK_ROWS)))
        on_grid = np.concatenate([self._on_grid(x[rows]) for rows in blocks])
        values: NDArray[np.float64] = on_grid[..., after - 1] * (1.0 - share) + on_grid[..., after] * share
        return values

    def _on_grid(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean incidences (rows, causes, grid); the sum is one of integers, and the same in any company."""
        total = self.values[self.trees.leaves(x)].sum(axis=1, dtype=np.uint32)
        mean: NDArray[np.float64] = total / float(WHOLE * len(self.trees.root))
        return mean

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Number of trees; nodes, leaf values and grid."""
        arrays: dict[str, NDArray[Any]] = {"values": self.values, "grid_days": self.grid_days}
        return {"trees": len(self.trees.root)}, self.trees.state() | arrays

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        del sizes  # for the reader of a manifest; the arrays say it too
        return cls(Trees.from_state(arrays), arrays["values"], arrays["grid_days"])
