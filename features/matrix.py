"""Expression matrices on disk, read block by block: CSR, CSC and dense, from HDF5 and zarr alike.

Nothing here knows which library holds the arrays: they are sliced, and give numpy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError

BLOCK_VALUES = 1 << 20
"""Values read at a time: some 30 MB of working memory."""


class DamagedMatrix(SequelaError):  # noqa: N818: states what it is
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


class Matrix(Protocol):
    """A matrix (cells, genes)."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The whole matrix, once: steps done, steps in all, and the values of the step."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """Sparse rows: for row i, the columns ``indices[indptr[i]:indptr[i + 1]]`` and their values."""

    n_rows: int
    n_columns: int
    data: Array
    indices: Array
    indptr: Array

    def rows(self, start: int, stop: int) -> Block:
        """Rows [start, stop) as coordinates, the row in the place of the cell.

        Raises:
            DamagedMatrix: Pointers or indices lie outside the matrix.
        """
        pointers = self.indptr[start : stop + 1].astype(np.int64)
        low, high = int(pointers[0]), int(pointers[-1])
        if (np.diff(pointers) < 0).any() or low < 0 or high > min(self.data.shape[0], self.indices.shape[0]):
            msg = f"the row pointers {start} to {stop} of X contradict its values"
            raise DamagedMatrix(msg)
        column = self.indices[low:high].astype(np.int64)
        if len(column) and (column.min() < 0 or column.max() >= self.n_columns):
            msg = f"an index in the rows {start} to {stop} of X lies outside its {self.n_columns} columns"
            raise DamagedMatrix(msg)
        row = np.repeat(np.arange(start, stop), np.diff(pointers))
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
