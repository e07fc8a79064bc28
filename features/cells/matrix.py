"""Expression matrices on disk, read block by block: CSR, CSC and dense, from HDF5 and zarr alike.

Nothing here knows which library holds the arrays: they are sliced, and give numpy arrays. Values keep the type they
have on disk where it is small, so that a block costs 8 bytes a value; whoever sums them does so in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from features.errors import SequelaError

BLOCK_VALUES = 1 << 20
"""Values read at a time: some 30 MB of working memory."""
_AS_STORED = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32), np.dtype(np.float64))

Values = NDArray[Any]
IntArray = NDArray[np.int64]


class DamagedMatrixError(SequelaError):
    """A matrix whose parts contradict one another."""


class Array(Protocol):
    """What HDF5 data sets and zarr arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent of each axis."""

    def __getitem__(self, key: slice) -> Values:
        """Read rows."""


class Block(NamedTuple):
    """The values of some cells, or of some genes, as coordinates; all of shape (values,)."""

    cell: IntArray
    gene: NDArray[Any]
    value: Values

    def where(self, kept: NDArray[np.bool_] | slice) -> Block:
        """The values for which the mask holds, or in the slice."""
        return Block(self.cell[kept], self.gene[kept], self.value[kept])


class Rows(NamedTuple):
    """Rows of a sparse matrix in CSR form; columns ascend within a row and do not repeat, and no value is zero."""

    indptr: IntArray
    """(rows + 1,): from 0."""
    indices: NDArray[np.int32]
    values: Values

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def block(self, first: int) -> Block:
        """The same values as coordinates, of which the first row has the number `first`."""
        return Block(np.repeat(np.arange(first, first + len(self)), np.diff(self.indptr)), self.indices, self.values)

    @staticmethod
    def joined(parts: Sequence[Rows]) -> Rows:
        """Rows one under the other."""
        if len(parts) == 1:
            return parts[0]
        sizes = np.concatenate([np.zeros(1, dtype=np.int64), *(np.diff(part.indptr) for part in parts)])
        return Rows(
            np.cumsum(sizes),
            np.concatenate([part.indices for part in parts] or [np.zeros(0, dtype=np.int32)]),
            np.concatenate([part.values for part in parts] or [np.zeros(0, dtype=np.float32)]),
        )


@dataclass(slots=True)
class Window:
    """An array read forwards in slices: whole chunks are read, once, and the rest of the last one is kept."""

    array: Array
    _held: Values | None = None
    _start: int = 0

    def read(self, start: int, stop: int) -> Values:
        """``array[start:stop]``."""
        held_to = self._start if self._held is None else self._start + len(self._held)
        if self._held is None or not self._start <= start <= held_to:
            self._held, self._start, held_to = self.array[start:start], start, start
        if stop > held_to:
            chunk = int((getattr(self.array, "chunks", None) or (1,))[0])
            upto = min(-(-stop // chunk) * chunk, self.array.shape[0])
            more = self.array[held_to:upto]
            kept = self._held[start - self._start :]
            self._held, self._start = (np.concatenate([kept, more]) if len(kept) else more), start
        return self._held[start - self._start : stop - self._start]


@dataclass(frozen=True, slots=True)
class Compressed:
    """Sparse rows: for row i, the columns ``indices[indptr[i]:indptr[i + 1]]`` and their values."""

    n_rows: int
    n_columns: int
    data: Array
    indices: Array
    indptr: Array
    _windows: tuple[Window, Window] = field(init=False)

    def __post_init__(self) -> None:
        lengths = {self.data.shape[0], self.indices.shape[0]}
        ends = (self.indptr[:1], self.indptr[self.n_rows : self.n_rows + 1])
        if self.indptr.shape[0] != self.n_rows + 1 or ends[0] != [0] or lengths != {int(ends[1][0])}:
            msg = "the parts of X do not agree in length"
            raise DamagedMatrixError(msg)
        object.__setattr__(self, "_windows", (Window(self.data), Window(self.indices)))

    def rows(self, start: int, stop: int) -> Rows:
        """Rows [start, stop).

        Raises:
            DamagedMatrixError: Pointers or indices lie outside the matrix, or repeat.
        """
        pointers = self.indptr[start : stop + 1].astype(np.int64)
        low, high = int(pointers[0]), int(pointers[-1])
        if (np.diff(pointers) < 0).any() or low < 0 or high > min(self.data.shape[0], self.indices.shape[0]):
            msg = f"the row pointers {start} to {stop} of X contradict its values"
            raise DamagedMatrixError(msg)
        values, column = (window.read(low, high) for window in self._windows)
        if len(column) and (column.min() < 0 or column.max() >= self.n_columns):
            msg = f"an index in the rows {start} to {stop} of X lies outside its {self.n_columns} columns"
            raise DamagedMatrixError(msg)
        rows = tidy(Rows(pointers - low, column.astype(np.int32), _plain(values)), self.n_columns)
        if rows is None:  # a lost piece of a zarr store reads as zeros, and shows up as a column that is repeated
            msg = f"an index is repeated in the rows {start} to {stop} of X"
            raise DamagedMatrixError(msg)
        return rows

    def row_blocks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Rows]]:
        """Rows [start, stop) in blocks of about `BLOCK_VALUES` values: first row, rows."""
        stop = self.n_rows if stop is None else stop
        step = max(1, BLOCK_VALUES * self.n_rows // max(1, self.data.shape[0]))
        for first in range(start, stop, step):
            yield first, self.rows(first, min(first + step, stop))


def _plain(values: Values) -> Values:
    """Values of one of the types that are handled without loss, most often as they are."""
    return values if values.dtype in _AS_STORED else values.astype(np.float64)


def tidy(rows: Rows, n_columns: int) -> Rows | None:
    """The same rows with ascending columns and without stored zeros; None if a column repeats within a row."""
    shape = (len(rows), n_columns)
    matrix = scipy.sparse.csr_matrix((rows.values, rows.indices, rows.indptr.astype(np.int32)), shape=shape)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()  # the arrays may be part of a window
        matrix.sort_indices()
        matrix = scipy.sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=shape)
        if not matrix.has_canonical_format:
            return None
    if not rows.values.all():
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    return Rows(matrix.indptr.astype(np.int64), matrix.indices, matrix.data)


@dataclass(frozen=True, slots=True)
class CsrMatrix:
    """Cells are contiguous."""

    parts: Compressed

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return self.parts.n_rows, self.parts.n_columns

    def row_blocks(self, start: int, stop: int) -> Iterator[tuple[int, Rows]]:
        """The cells [start, stop), some at a time: first cell, cells."""
        return self.parts.row_blocks(start, stop)

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The whole matrix, once: cells done, cells in all, values."""
        for first, rows in self.parts.row_blocks():
            yield first + len(rows), self.parts.n_rows, rows.block(first)


@dataclass(frozen=True, slots=True)
class CscMatrix:
    """Genes are contiguous: no cell can be read without reading all."""

    parts: Compressed

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return self.parts.n_columns, self.parts.n_rows

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The whole matrix, once: genes done, genes in all, values."""
        for first, genes in self.parts.row_blocks():
            gene, cell, value = genes.block(first)
            yield first + len(genes), self.parts.n_rows, Block(cell, gene, value)


@dataclass(frozen=True, slots=True)
class DenseMatrix:
    """Every value is stored; zeros are passed over."""

    values: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return self.values.shape[0], self.values.shape[1]

    def row_blocks(self, start: int, stop: int) -> Iterator[tuple[int, Rows]]:
        """The cells [start, stop), some at a time: first cell, cells."""
        step = max(1, BLOCK_VALUES // max(1, self.shape[1]))
        for first in range(start, stop, step):
            matrix = scipy.sparse.csr_matrix(_plain(self.values[first : min(first + step, stop)]))
            yield first, Rows(matrix.indptr.astype(np.int64), matrix.indices, matrix.data)

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """The whole matrix, once: cells done, cells in all, values."""
        for first, rows in self.row_blocks(0, self.shape[0]):
            yield first + len(rows), self.shape[0], rows.block(first)


Matrix = CsrMatrix | CscMatrix | DenseMatrix
