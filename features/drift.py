"""How far what comes is from what was learnt on: counts of values in tenths of the training rows.

Counts are all that is kept of training rows and of those that come later: no value of anyone. Bins are bounded by the
training deciles, rounded to two digits, so that no bound is the value of a patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray, IntArray
from features.schema import Frozen

DECILES = np.arange(0.1, 0.95, 0.1)
DIGITS = 2
SMALLEST_SHARE = 1e-4
"""Taken for the share of a bin without values, which the index cannot take."""


class Spread(Frozen):
    """The values of one variable."""

    edges: tuple[float, ...]
    """Ascending; bin i holds values above edge i − 1, up to edge i."""
    counts: tuple[int, ...]
    """(edges + 1,): known values in each bin."""
    missing: int
    """Values that are not known."""

    @property
    def shares(self) -> FloatArray:
        """(edges + 1,): of known values in each bin; NaN where none is known."""
        n_known = sum(self.counts)
        return np.array(self.counts) / n_known if n_known else np.full(len(self.counts), np.nan)

    @classmethod
    def of(cls, values: FloatArray, edges: Sequence[float] | None = None) -> Spread:
        """Of values (rows,), NaN where not known.

        Args:
            values: Of training rows; or of others.
            edges: Default the deciles of the values, fewer where they coincide.
        """
        known = values[np.isfinite(values)]
        if edges is None:
            edges = rounded(np.quantile(known, DECILES)) if len(known) else ()
        counts = np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)
        return cls(edges=tuple(edges), counts=tuple(map(int, counts)), missing=int(len(values) - len(known)))


class Reference(Frozen):
    """What came in training: of each column that the model sees, and of its risks."""

    n_rows: int
    inputs: dict[str, Spread]
    risks: dict[str, Spread]
    """By cause: the risk by the last horizon of patients not trained on."""

    @classmethod
    def of(cls, inputs: Mapping[str, FloatArray], risks: Mapping[str, FloatArray]) -> Reference:
        """Of columns (rows,) by name; rows without a risk are left out of the risks."""
        return cls(
            n_rows=len(next(iter(risks.values()))),
            inputs={name: Spread.of(values) for name, values in inputs.items()},
            risks={cause: Spread.of(risk[np.isfinite(risk)]) for cause, risk in risks.items()},
        )


class Counting:
    """Counts rows by the bins of a reference.

    Args:
        spreads: Of the reference, in the order of the columns of what comes.
    """

    def __init__(self, spreads: Mapping[str, Spread]) -> None:
        self.names = tuple(spreads)
        most = max((len(spread.edges) for spread in spreads.values()), default=0)
        self._edges = np.full((len(spreads), most), np.inf)
        for row, spread in zip(self._edges, spreads.values(), strict=True):
            row[: len(spread.edges)] = spread.edges
        self.counts: IntArray = np.zeros((len(spreads), most + 2), dtype=np.int64)
        """(columns, bins + 1): the last is of values that are not known."""
        self.n_rows = 0

    def add(self, values: FloatArray) -> None:
        """Count values (rows, columns), NaN where not known."""
        bins = (values[:, :, None] > self._edges).sum(axis=2)
        bins[~np.isfinite(values)] = self.counts.shape[1] - 1
        column = np.broadcast_to(np.arange(len(self.names)), bins.shape)
        np.add.at(self.counts, (column.ravel(), bins.ravel()), 1)
        self.n_rows += len(values)

    def spreads(self, reference: Mapping[str, Spread]) -> dict[str, Spread]:
        """What was counted, by name."""
        return {
            name: Spread(
                edges=reference[name].edges,
                counts=tuple(map(int, row[: len(reference[name].edges) + 1])),
                missing=int(row[-1]),
            )
            for name, row in zip(self.names, self.counts, strict=True)
        }


def stability_index(expected: Spread, found: Spread) -> float:
    """Population stability index Σ (f − e) log(f / e) over bins, NaN where either has no value (Siddiqi 2006, ch. 10).

    Customarily below 0.1 nothing, above 0.25 a shift; between equal distributions it is about χ² (bins − 1) times
    1/n + 1/m (Yurdakul & Naranjo, J Risk Model Validation 2020;14(3)).
    """
    e, f = (np.maximum(spread.shares, SMALLEST_SHARE) for spread in (expected, found))
    return float(((f - e) * np.log(f / e)).sum())


def largest_difference(expected: Spread, found: Spread) -> float:
    """Max |F − G| of the distribution functions at the bounds of bins; NaN where either has no value."""
    return float(np.abs(np.cumsum(expected.shares) - np.cumsum(found.shares)).max())


def rounded(values: NDArray[np.float64] | Sequence[float]) -> tuple[float, ...]:
    """To two significant digits, each once."""
    return tuple(sorted({float(f"{value:.{DIGITS}g}") for value in values}))
