"""The cells of one sample after the other, out of a matrix in which they may lie anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from features.cells.matrix import Block, CscMatrix, IntArray, Matrix, Rows, Values

ROUND_VALUES = 1 << 24
"""Values held at once when samples must be gathered from all over the matrix: some 800 MB of working memory."""
_RUNS_PER_SAMPLE = 64  # with more pieces a sample than this, reading everything in order is faster


@dataclass(frozen=True, slots=True)
class SampleRows:
    """The cells of one sample."""

    number: int
    cells: IntArray
    """(cells,): their numbers in the matrix, ascending."""
    parts: Iterator[Rows]
    """Their values, some cells at a time; to be used up before the next sample is asked for."""


def lies_together(matrix: Matrix, sample: IntArray, n_samples: int) -> bool:
    """Whether each sample can be read alone: its cells lie in few pieces of a matrix whose cells are contiguous."""
    n_runs = int(np.count_nonzero(np.diff(sample))) + 1
    return not isinstance(matrix, CscMatrix) and n_runs <= _RUNS_PER_SAMPLE * max(1, n_samples)


def by_sample(
    matrix: Matrix, sample: IntArray, n_samples: int, wanted: Sequence[int] | None = None
) -> Iterator[SampleRows]:
    """Each sample's cells, ascending, with their values; no more of the matrix is held than is needed.

    Samples whose cells lie together are read alone, some cells at a time. Where they are scattered, or genes are
    contiguous, the matrix is read in rounds, each gathering as many samples as hold `ROUND_VALUES` values.

    Args:
        matrix: (cells, genes).
        sample: (cells,): number of each cell's sample, -1 for none.
        n_samples: Number of samples.
        wanted: Numbers of the samples to read, ascending; all of them if None.
    """
    order = np.argsort(sample, kind="stable")
    bounds = np.searchsorted(sample[order], np.arange(n_samples + 1))
    cells = [order[low:high] for low, high in pairwise(bounds)]
    numbers = range(n_samples) if wanted is None else wanted
    if isinstance(matrix, CscMatrix) or not lies_together(matrix, sample, n_samples):
        for i, rows in _in_rounds(matrix, sample, cells, numbers):
            yield SampleRows(i, cells[i], iter([rows]))
        return
    for i in numbers:
        runs = np.split(cells[i], np.flatnonzero(np.diff(cells[i]) > 1) + 1)
        pieces = (part for run in runs for _, part in matrix.row_blocks(int(run[0]), int(run[-1]) + 1))
        yield SampleRows(i, cells[i], pieces)


def _in_rounds(
    matrix: Matrix, sample: IntArray, cells: list[IntArray], wanted: Sequence[int]
) -> Iterator[tuple[int, Rows]]:
    """The values of each sample, in order, from as many readings of the matrix as their number needs."""
    sizes = np.zeros(len(cells) + 1, dtype=np.int64)
    for _, _, block in matrix.blocks():
        sizes += np.bincount(sample[block.cell] + 1, minlength=len(cells) + 1)
    round_of = np.full(len(cells) + 1, -1)  # the last place answers for cells without a sample
    round_of[list(wanted)] = np.cumsum(sizes[1:][list(wanted)]) // ROUND_VALUES
    within = np.zeros(len(sample), dtype=np.int64)
    for rows in cells:
        within[rows] = np.arange(len(rows))
    for number in np.unique(round_of[list(wanted)]):
        gathered = [block.where(round_of[sample[block.cell]] == number) for _, _, block in matrix.blocks()]
        block = Block(*map(np.concatenate, zip(*gathered, strict=True)))
        of_sample = sample[block.cell]
        order = np.argsort(of_sample, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(of_sample, minlength=len(cells)))])
        for i in np.flatnonzero(round_of[:-1] == number):
            own = order[bounds[i] : bounds[i + 1]]
            yield int(i), _rows_of(within[block.cell[own]], block.gene[own], block.value[own], len(cells[i]), matrix)


def _rows_of(cell: IntArray, gene: NDArray[Any], value: Values, n_cells: int, matrix: Matrix) -> Rows:
    """Coordinates, none of which repeats, in CSR form."""
    csr = scipy.sparse.coo_matrix((value, (cell, gene)), shape=(n_cells, matrix.shape[1])).tocsr()
    csr.sort_indices()
    return Rows(csr.indptr.astype(np.int64), csr.indices.astype(np.int32, copy=False), csr.data)
