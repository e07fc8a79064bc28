"""Quality control: how much was read of each cell, and which cells pass the thresholds.

Nothing here is fitted: each cell is judged by itself, against thresholds that are written down with the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.errors import SequelaError
from features.patients import FloatArray

MITOCHONDRIAL_PREFIX = "MT-"
"""HGNC's prefix of the genes on the mitochondrial chromosome."""


@dataclass(frozen=True, slots=True)
class CellQuality:
    """What was read of each cell; all arrays have shape (cells,)."""

    counts: FloatArray
    """Sum of the values of the cell."""
    genes: FloatArray
    """Genes of the panel with a value other than 0."""
    mitochondrial: FloatArray
    """Mitochondrial share of the counts, in [0, 1]; 0 without any count, NaN without such genes on the panel."""

    def passing(self, min_counts: int, min_genes: int, max_mitochondrial: float) -> NDArray[np.bool_]:
        """(cells,): cells with at least so many counts and genes, and at most so large a mitochondrial share.

        Raises:
            SequelaError: A mitochondrial share is limited, and the panel has no mitochondrial gene.
        """
        kept = (self.counts >= min_counts) & (self.genes >= min_genes)
        if max_mitochondrial >= 1.0:
            return kept
        if np.isnan(self.mitochondrial).any():
            msg = (
                f"max_mitochondrial: {max_mitochondrial:g} is asked for, and no gene of the panel is mitochondrial "
                f"(human symbols beginning with {MITOCHONDRIAL_PREFIX}); keep those genes, or leave the limit at 1"
            )
            raise SequelaError(msg)
        return kept & (self.mitochondrial <= max_mitochondrial)


def measure(bag: CellBag) -> CellQuality:
    """Counts, genes and mitochondrial share of each cell.

    The definitions are those of ``scanpy.pp.calculate_qc_metrics``: total_counts, n_genes_by_counts, and pct_counts of
    the genes `MITOCHONDRIAL_PREFIX`, as a share (Luecken & Theis, Mol Syst Biol 2019;15:e8746, "Quality control").
    """
    counts = row_sums(bag, bag.values)
    genes = row_sums(bag, (bag.values != 0).astype(np.float64))
    on_chromosome = np.array([gene.upper().startswith(MITOCHONDRIAL_PREFIX) for gene in bag.genes], dtype=bool)
    if not on_chromosome.any():
        return CellQuality(counts, genes, np.full(len(bag), np.nan))
    of_them = row_sums(bag, bag.values * on_chromosome[bag.indices])
    share = np.divide(of_them, counts, out=np.zeros_like(counts), where=counts > 0)
    return CellQuality(counts, genes, share)


def row_sums(bag: CellBag, values: FloatArray) -> FloatArray:
    """(cells,): sum over each cell of something that has one entry for each value of the bag."""
    sums = np.zeros(len(bag))
    starts = bag.indptr[:-1]
    filled = np.diff(bag.indptr) > 0
    if filled.any():  # cells without values would take the value of the next one
        sums[filled] = np.add.reduceat(values, starts[filled])
    return sums


def select_cells(bag: CellBag, kept: NDArray[np.bool_]) -> CellBag:
    """The cells for which the mask (cells,) holds, in their order."""
    if kept.all():
        return bag
    lengths = np.diff(bag.indptr)
    of_value = np.repeat(kept, lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64)
    return CellBag(bag.genes, indptr, bag.indices[of_value], bag.values[of_value], bag.cell_type[kept])
