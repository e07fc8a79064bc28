"""Expression matrices on disk, read block by block: CSR, CSC and dense, from HDF5 and zarr alike.

Nothing here knows which library holds the arrays: they are sliced, and give numpy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError

BLOCK_VALUES = 1 << 20
"""Values read at a time: some 30 MB of working memory."""
ROUND_VALUES = 1 << 23
"""Values held at once when samples must be gathered from all over the matrix: some 800 MB of working memory."""
_RUNS_PER_SAMPLE = 64  # with more pieces a sample than this, reading everything in order is faster


class DamagedMatrixError(SequelaError):
    """A matrix whose parts contradict one another."""


class Array(Protocol):
    """What HDF5 data sets and zarr arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent of each axis."""

    def __getitem__(self, key: slice) -> NDArray[np.float64]:
        """Read rows."""


class Block(NamedTuple):
    """The values of some cells, or of some genes, as coordinates; all of shape (values,)."""

    cell: NDArray[np.int64]
    gene: NDArray[np.int64]
    value: NDArray[np.float64]

    def where(self, kept: NDArray[np.bool_] | slice) -> Block:
        """The values for which the mask holds, or in the slice."""
        return Block(self.cell[kept], self.gene[kept], self.value[kept])

    def ordered(self, order: NDArray[np.int64]) -> Block:
        """The values in another order."""
        return Block(self.cell[order], self.gene[order], self.value[order])

    @staticmethod
    def joined(blocks: Sequence[Block]) -> Block:
        """Blocks one after the other."""
        return blocks[0] if len(blocks) == 1 else Block(*map(np.concatenate, zip(*blocks, strict=True)))


@dataclass(frozen=True, slots=True)
class Compressed:
    """Sparse rows: for row i, the columns ``indices[indptr[i]:indptr[i + 1]]`` and their values."""

    n_rows: int
    n_columns: int
    data: Array
    indices: Array
    indptr: Array

    def __post_init__(self) -> None:
        lengths = {self.data.shape[0], self.indices.shape[0]}
        ends = (self.indptr[:1], self.indptr[self.n_rows : self.n_rows + 1])
        if self.indptr.shape[0] != self.n_rows + 1 or ends[0] != [0] or lengths != {int(ends[1][0])}:
            msg = "the parts of X do not agree in length"
            raise DamagedMatrixError(msg)

    def rows(self, start: int, stop: int) -> Block:
        """Rows [start, stop) as coordinates, the row in the place of the cell.

        Raises:
            DamagedMatrixError: Pointers or indices lie outside the matrix, or repeat.
        """
        pointers = self.indptr[start : stop + 1].astype(np.int64)
        low, high = int(pointers[0]), int(pointers[-1])
        if (np.diff(pointers) < 0).any() or low < 0 or high > min(self.data.shape[0], self.indices.shape[0]):
            msg = f"the row pointers {start} to {stop} of X contradict its values"
            raise DamagedMatrixError(msg)
        column = self.indices[low:high].astype(np.int64)
        if len(column) and (column.min() < 0 or column.max() >= self.n_columns):
            msg = f"an index in the rows {start} to {stop} of X lies outside its {self.n_columns} columns"
            raise DamagedMatrixError(msg)
        row = np.repeat(np.arange(start, stop), np.diff(pointers))
        # A lost piece of a zarr store reads as zeros, and shows up as a column that is repeated.
        if ((column[1:] == column[:-1]) & (row[1:] == row[:-1])).any():
            msg = f"an index is repeated in the rows {start} to {stop} of X"
            raise DamagedMatrixError(msg)
        return Block(row, column, self.data[low:high].astype(np.float64))

    def row_blocks(self) -> Iterator[tuple[int, int, Block]]:
        """All rows in blocks of about `BLOCK_VALUES` values: rows done, rows in all, values."""
        start = 0
        step = max(1, BLOCK_VALUES * self.n_rows // max(1, self.data.shape[0]))
        while start < self.n_rows:
            stop = min(start + step, self.n_rows)
            yield stop, self.n_rows, self.rows(start, stop)
            start = stop


@dataclass(frozen=True, slots=True)
class CsrMatrix:
    """Cells are contiguous."""

    parts: Compressed

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return self.parts.n_rows, self.parts.n_columns

    def cells(self, start: int, stop: int) -> Block:
        """The values of the cells [start, stop), cell by cell."""
        return self.parts.rows(start, stop)

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The whole matrix, once."""
        return self.parts.row_blocks()


@dataclass(frozen=True, slots=True)
class CscMatrix:
    """Genes are contiguous: no cell can be read without reading all."""

    parts: Compressed

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return self.parts.n_columns, self.parts.n_rows

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The whole matrix, once."""
        for done, total, (gene, cell, value) in self.parts.row_blocks():
            yield done, total, Block(cell, gene, value)


@dataclass(frozen=True, slots=True)
class DenseMatrix:
    """Every value is stored; zeros are passed over."""

    values: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return self.values.shape[0], self.values.shape[1]

    def cells(self, start: int, stop: int) -> Block:
        """The values of the cells [start, stop), cell by cell."""
        rows = self.values[start:stop]
        cell, gene = np.nonzero(rows)
        return Block(cell + start, gene, rows[cell, gene].astype(np.float64))

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The whole matrix, once."""
        n_cells, n_genes = self.shape
        step = max(1, BLOCK_VALUES // max(1, n_genes))
        for start in range(0, n_cells, step):
            stop = min(start + step, n_cells)
            yield stop, n_cells, self.cells(start, stop)


Matrix = CsrMatrix | CscMatrix | DenseMatrix


def by_sample(matrix: Matrix, sample: NDArray[np.int64], n_samples: int) -> Iterator[tuple[NDArray[np.int64], Block]]:
    """Each sample's cells, ascending, with their values; no more of the matrix is held than is needed.

    Samples whose cells lie together are read one at a time. Where they are scattered, or genes are contiguous, the
    matrix is read in rounds, each gathering as many samples as hold `ROUND_VALUES` values.

    Args:
        matrix: (cells, genes).
        sample: (cells,): number of each cell's sample, -1 for none.
        n_samples: Number of samples.
    """
    order = np.argsort(sample, kind="stable")
    bounds = np.searchsorted(sample[order], np.arange(n_samples + 1))
    cells = [order[low:high] for low, high in pairwise(bounds)]
    n_runs = int(np.count_nonzero(np.diff(sample))) + 1
    if isinstance(matrix, CscMatrix) or n_runs > _RUNS_PER_SAMPLE * n_samples:
        yield from zip(cells, _in_rounds(matrix, sample, n_samples), strict=True)
        return
    for rows in cells:
        runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
        yield rows, Block.joined([matrix.cells(int(run[0]), int(run[-1]) + 1) for run in runs])


def _in_rounds(matrix: Matrix, sample: NDArray[np.int64], n_samples: int) -> Iterator[Block]:
    """The values of each sample, in order, from as many readings of the matrix as their number needs."""
    sizes = np.zeros(n_samples + 1, dtype=np.int64)
    for _, _, block in matrix.blocks():
        sizes += np.bincount(sample[block.cell] + 1, minlength=n_samples + 1)
    round_of = np.cumsum(sizes[1:]) // ROUND_VALUES
    for number in np.unique(round_of):
        wanted = np.append(round_of == number, False)  # the last place answers for -1
        block = Block.joined([block.where(wanted[sample[block.cell]]) for _, _, block in matrix.blocks()])
        of_sample = sample[block.cell]
        block = block.ordered(np.argsort(of_sample, kind="stable"))
        bounds = np.concatenate([[0], np.cumsum(np.bincount(of_sample, minlength=n_samples))])
        for i in np.flatnonzero(round_of == number):
            yield block.where(slice(bounds[i], bounds[i + 1]))
