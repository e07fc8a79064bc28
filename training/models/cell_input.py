"""What an attention model sees of each cell: a row of numbers; and of each sample: its cells in an order of their own.

Cells are put in an order that follows from their content alone. A model that reads them in this order, or the first of
them, gives the same answer to the last bit however a file had sorted its cells and genes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.cells.embedding import CELLS_AT_ONCE, CellPca, Expression, expression_blocks
from features.patients import FloatArray, IntArray, gather

Words = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class PreparedCells:
    """The cells of one sample that a model reads, in the order of their content."""

    order: IntArray
    """(cells,): number of each in its bag."""
    n_in_bag: int
    """Cells of the whole bag."""
    indptr: IntArray
    """(cells + 1,): entries of cell i are ``indptr[i]:indptr[i + 1]``."""
    values: Expression
    """Expression over the model's genes; empty where the embedding is frozen and lies in `table`."""
    table: NDArray[np.float32] | None
    """(cells, components)."""

    def __len__(self) -> int:
        return len(self.order)

    @property
    def n_bytes(self) -> int:
        """Memory held, about."""
        return int(self.values.value.nbytes * 3 if self.table is None else self.table.nbytes)

    def rows(self, cells: IntArray, n_genes: int) -> NDArray[np.float32]:
        """(cells, width): what the model sees of some of the cells."""
        if self.table is not None:
            return self.table[cells]
        picked, indptr = gather(self.indptr, cells)
        table = np.zeros((len(cells), n_genes), dtype=np.float32)
        table[np.repeat(np.arange(len(cells)), np.diff(indptr)), self.values.column[picked]] = self.values.value[picked]
        return table


@dataclass(frozen=True, slots=True)
class CellInput:
    """Expression of single cells over chosen genes, or their frozen principal components."""

    genes: tuple[str, ...]
    counts: bool
    """Whether values are raw counts, which become log1p of 10⁴ times the share of the cell's; or intensities."""
    most_cells: int
    """Of samples with more cells so many are read: those that come first, which is a random choice."""
    pca: CellPca | None
    """Fitted on training cells; None: the model sees the genes themselves."""

    @property
    def width(self) -> int:
        """Numbers a cell."""
        return len(self.genes) if self.pca is None else len(self.pca.components)

    def prepare(self, bag: CellBag) -> PreparedCells:
        """The cells that are read of a sample, whose genes may be any in any order.

        Raises:
            SequelaError: A value is not finite, or a count is negative.
        """
        read = Expression.joined(list(expression_blocks(bag, self.genes, counts=self.counts)))
        order = content_order(read)[: self.most_cells]
        at, indptr = gather(_indptr(read), order)
        cell = np.repeat(np.arange(len(order), dtype=np.int32), np.diff(indptr))
        values = Expression(len(order), cell, read.column[at], read.value[at])
        if self.pca is None:
            return PreparedCells(order, len(bag), indptr, values, None)
        none = np.zeros(0, dtype=np.int32)
        empty = Expression(len(order), none, none, np.zeros(0, dtype=np.float32))
        return PreparedCells(order, len(bag), indptr, empty, self._embedded(values, self.pca))

    def _embedded(self, values: Expression, pca: CellPca) -> NDArray[np.float32]:
        """(cells, components), as `CellPca.transform` gives them of a bag."""
        weights = (pca.components / pca.scale).T
        offset = (pca.center / pca.scale) @ pca.components.T
        starts = range(0, values.n_cells, CELLS_AT_ONCE)
        parts = [
            values.cells(start, start + CELLS_AT_ONCE).dense(len(self.genes)) @ weights - offset for start in starts
        ]
        return np.concatenate(parts).astype(np.float32)

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds it from."""
        sizes: dict[str, Any] = {"genes": list(self.genes), "counts": self.counts, "most_cells": self.most_cells}
        if self.pca is None:
            return {**sizes, "pca": None}, {}
        sizes["pca"], arrays = self.pca.state()
        return sizes, arrays

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> CellInput:
        """Rebuild what `state` described.

        Raises:
            SequelaError: The projection of cells is damaged.
        """
        pca = None if sizes["pca"] is None else CellPca.from_state(sizes["pca"], arrays)
        return cls(tuple(sizes["genes"]), sizes["counts"], sizes["most_cells"], pca)


def content_order(values: Expression) -> IntArray:
    """(cells,): a permutation that depends on what the cells are, and not on where they stand; as good as random.

    Each cell has the sum, modulo 2⁶⁴, of hashes of its entries that differ from 0; cells alike are told apart by
    counting them, so that they do not all come together.
    """
    bits = values.value.astype(np.float32).view(np.uint32).astype(np.uint64)
    entry = _mixed((values.column.astype(np.uint64) << np.uint64(32)) | bits)
    entry[values.value == 0] = 0
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(entry, dtype=np.uint64)])
    ends = _indptr(values)
    content = _mixed(sums[ends[1:]] - sums[ends[:-1]] + _GOLDEN)
    by_content = np.argsort(content, kind="stable")
    ranked = content[by_content]
    nth = np.arange(len(ranked)) - np.searchsorted(ranked, ranked, side="left")
    key = _mixed(ranked + nth.astype(np.uint64) * _GOLDEN)
    order: IntArray = by_content[np.argsort(key, kind="stable")]
    return order


def _indptr(values: Expression) -> IntArray:
    counts = np.bincount(values.cell, minlength=values.n_cells)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _mixed(words: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014, figure 14)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = words ^ (words >> np.uint64(31))
    return mixed
