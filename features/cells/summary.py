"""The summary of the cells of a sample, of which patient features are made.

A summary keeps sums over cells by cell type, so that composition, pseudobulk and program scores follow from it and
no model ever needs the cells twice. Nothing here is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.errors import SequelaError

TARGET_SUM = 1e4
"""Counts per cell after library-size normalisation, scanpy's customary `target_sum`."""


@dataclass(frozen=True, slots=True)
class CellSummary:
    """Sums over the cells of each sample, by cell type."""

    cell_types: tuple[str, ...]
    genes: tuple[str, ...]
    n_cells: NDArray[np.float64]
    """(samples, cell types)."""
    total: NDArray[np.float64]
    """(samples, cell types, genes): sums of the values as measured (raw counts, or intensities)."""
    lognorm: NDArray[np.float64]
    """(samples, cell types, genes): sums of log1p(counts · 10⁴ / counts of the cell); intensities enter as they are."""

    def __len__(self) -> int:
        return len(self.n_cells)

    def take(self, samples: NDArray[np.int64]) -> CellSummary:
        """The given samples, in that order."""
        return CellSummary(
            self.cell_types, self.genes, self.n_cells[samples], self.total[samples], self.lognorm[samples]
        )

    def aligned(self, cell_types: Sequence[str], genes: Sequence[str]) -> CellSummary:
        """The same samples over other cell types and genes; what is not here is zero, the rest is left out."""
        type_from, type_to = _matches(self.cell_types, cell_types)
        gene_from, gene_to = _matches(self.genes, genes)
        n_cells = np.zeros((len(self), len(cell_types)))
        n_cells[:, type_to] = self.n_cells[:, type_from]
        sums = np.zeros((2, len(self), len(cell_types), len(genes)))
        for target, source in zip(sums, (self.total, self.lognorm), strict=True):
            target[:, type_to[:, None], gene_to] = source[:, type_from[:, None], gene_from]
        return CellSummary(tuple(cell_types), tuple(genes), n_cells, sums[0], sums[1])

    @staticmethod
    def concatenate(summaries: Sequence[CellSummary]) -> CellSummary:
        """Samples one after the other, over the union of their cell types and genes."""
        cell_types = tuple(sorted({name for summary in summaries for name in summary.cell_types}))
        genes = tuple(dict.fromkeys(gene for summary in summaries for gene in summary.genes))
        parts = [summary.aligned(cell_types, genes) for summary in summaries]
        return CellSummary(
            cell_types,
            genes,
            np.concatenate([part.n_cells for part in parts]),
            np.concatenate([part.total for part in parts]),
            np.concatenate([part.lognorm for part in parts]),
        )


def _matches(have: Sequence[str], want: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in `have` and in `want` of the names that both hold."""
    place = {name: i for i, name in enumerate(have)}
    pairs = [(place[name], j) for j, name in enumerate(want) if name in place]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def summarise(bag: CellBag, *, counts: bool) -> CellSummary:
    """Summarise one sample; the order of its cells does not matter beyond rounding.

    Args:
        bag: The cells of the sample.
        counts: Whether values are raw counts, to be normalised to 10⁴ a cell and log1p-transformed (Luecken & Theis,
            Mol Syst Biol 2019;15:e8746, section "Normalization"), or intensities, used as they are.

    Raises:
        SequelaError: A count is negative or not finite.
    """
    if not np.isfinite(bag.values).all() or (counts and (bag.values < 0).any()):
        msg = "cells: every value must be finite, and every raw count at least 0; check the expression matrix"
        raise SequelaError(msg)
    cell = np.repeat(np.arange(len(bag)), np.diff(bag.indptr))
    values = np.log1p(bag.values * _scale(bag, cell)[cell]) if counts else bag.values
    cell_types, type_of_cell = np.unique(bag.cell_type.astype(str), return_inverse=True)
    shape = (len(cell_types), len(bag.genes))
    flat = type_of_cell[cell] * shape[1] + bag.indices
    size = shape[0] * shape[1]
    return CellSummary(
        tuple(map(str, cell_types)),
        bag.genes,
        np.bincount(type_of_cell, minlength=shape[0])[None].astype(np.float64),
        _sums(flat, bag.values, size).reshape(1, *shape),
        _sums(flat, values, size).reshape(1, *shape),
    )


def _sums(group: NDArray[np.int64], values: NDArray[np.float64], n_groups: int) -> NDArray[np.float64]:
    """(n_groups,): sums of values by group; `np.bincount` alone gives integers when there is no value."""
    return np.bincount(group, weights=values, minlength=n_groups).astype(np.float64)


def _scale(bag: CellBag, cell: NDArray[np.int64]) -> NDArray[np.float64]:
    """(cells,): factor that brings each cell to `TARGET_SUM`; cells without a count keep 0."""
    totals = _sums(cell, bag.values, len(bag))
    return np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
