"""Values of many markers, and which of them were measured in the same patients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from features.outcomes import Outcomes
from training.effects.arms import FloatArray, IntArray

AT_ONCE = 512
"""Markers tested at once: their sums over risk sets stay in memory."""


def measured_together(values: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Markers in groups that were measured in the same patients, at most `AT_ONCE` in each.

    Args:
        values: (rows, markers), NaN where a marker was not measured.

    Yields:
        Positions of the markers, and of the rows in which they were measured.
    """
    known = np.isfinite(values)
    _, group = np.unique(np.packbits(known, axis=0), axis=1, return_inverse=True)
    group = group.reshape(-1)
    for one in range(int(group.max(initial=-1)) + 1):
        columns = np.flatnonzero(group == one)
        rows = np.flatnonzero(known[:, columns[0]])
        for start in range(0, len(columns), AT_ONCE):
            yield columns[start : start + AT_ONCE], rows


def strata_of(stratum: IntArray | None, rows: IntArray) -> list[IntArray]:
    """Positions within `rows` of those of each stratum; one stratum of all if there are none."""
    if stratum is None:
        return [np.arange(len(rows))]
    own = stratum[rows]
    return [np.flatnonzero(own == one) for one in np.unique(own)]


def n_events(values: FloatArray, outcomes: Outcomes, cause: int) -> tuple[IntArray, IntArray]:
    """(markers,) each: patients in whom a marker was measured, and how many of them had the event of a cause."""
    known = np.isfinite(values)
    return known.sum(axis=0), known[outcomes.cause == cause].sum(axis=0)
