"""Outcomes of patients in arms that are to be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Arms:
    """One row a patient; the first arm is the one that the others are compared with."""

    outcomes: Outcomes
    arm: IntArray
    """(rows,): 0 for the reference, 1, 2, … for the others."""
    names: tuple[str, ...]
    """Of the arms; at least two."""
    stratum: IntArray | None = None
    """(rows,): only patients of one stratum are compared, e.g. of one centre; None: all patients."""

    def __post_init__(self) -> None:
        shapes = {len(self.outcomes), len(self.arm)} | (set() if self.stratum is None else {len(self.stratum)})
        if len(shapes) != 1 or len(self.names) < 2 or set(np.unique(self.arm)) != set(range(len(self.names))):
            msg = f"{len(self.arm)} rows in {len(self.names)} arms; at least two arms, one or more rows in each"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.arm)

    def rows(self, arm: int) -> IntArray:
        """Positions of an arm's rows."""
        return np.flatnonzero(self.arm == arm)

    def of(self, arm: int) -> Outcomes:
        """Outcomes of one arm."""
        return self.outcomes.take(self.rows(arm))

    def strata(self) -> Iterator[IntArray]:
        """Positions of the rows of each stratum."""
        if self.stratum is None:
            yield np.arange(len(self))
            return
        for one in np.unique(self.stratum):
            yield np.flatnonzero(self.stratum == one)

    def indicators(self) -> FloatArray:
        """(rows, arms − 1): 1 in the column of each arm but the reference."""
        columns: FloatArray = (self.arm[:, None] == np.arange(1, len(self.names))).astype(np.float64)
        return columns


def followed_to(outcomes: Outcomes) -> float:
    """The last day by which incidences of these patients are known; infinite if the last of them all had an event."""
    last = float(outcomes.duration_days.max())
    ends = outcomes.duration_days == last
    return np.inf if (outcomes.cause[ends] > 0).all() else last
