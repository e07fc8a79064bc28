"""Weighted counts of pairs that one order puts one way round and another order the other, in O(n log n)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.arrays import changes

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PairSums:
    """Weights of pairs, each of shape (...)."""

    concordant: NDArray[np.float64]
    """Pairs whose opener has the higher marker, those with equal markers at one half."""
    total: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the pairs."""

    rows: NDArray[np.bool_]
    """(rows,): who is on this side."""
    weight: NDArray[np.float64]
    """(rows, ...): what a row counts; not read elsewhere."""


def dominated(
    stage: Index,
    marker: NDArray[np.float64],
    opener: Side,
    other: Side,
    *,
    opener_is_earlier: bool,
    group: Index | None = None,
) -> PairSums:
    """Sum opener_i · other_j over pairs (i, j) with stage_i < stage_j (or >), in all and if marker_i > marker_j.

    The rows are sorted by marker, and halved again and again by a bit of their stage, keeping that order: every pair
    of different stages is parted exactly once, and there running sums compare all pairs at once (divide and conquer,
    as in counting inversions by merge sort). The cost is O(n log n) for n rows, times the number of columns.

    Args:
        stage: (rows,), from 0 on; pairs of equal stage are not compared.
        marker: (rows,), finite.
        opener: Rows that may be i.
        other: Rows that may be j.
        opener_is_earlier: Whether stage_i < stage_j, or >.
        group: (rows,): only rows of one group are compared; None: all are.
    """
    concordant, total = np.zeros(opener.weight.shape[1:]), np.zeros(opener.weight.shape[1:])
    group = np.zeros_like(stage) if group is None else group
    for halves in _halvings(stage, marker, group, opener.rows | other.rows):
        first, second = (halves.earlier, ~halves.earlier)[:: 1 if opener_is_earlier else -1]
        i = np.flatnonzero(first & opener.rows[halves.row])
        is_j = second & other.rows[halves.row]
        if not len(i) or not is_j.any():
            continue
        running = _running(other.weight[halves.row[is_j]])
        count = np.concatenate([[0], np.cumsum(is_j)])
        start, end, below, not_above = (running[count[bound[i]]] for bound in halves.bounds)
        factor = opener.weight[halves.row[i]]
        # Differences first: where all markers are equal, this is exactly half of the total.
        concordant += np.einsum("i...,i...->...", factor, (below - start) + (not_above - start)) / 2
        total += np.einsum("i...,i...->...", factor, end - start)
    return PairSums(concordant, total)


@dataclass(frozen=True, slots=True)
class _Halves:
    """Rows sorted by (group, part, marker); each part is about to be halved."""

    row: Index
    earlier: NDArray[np.bool_]
    """Whether the row is in the half of the lower stages."""
    bounds: tuple[Index, Index, Index, Index]
    """Positions at which the row's part begins and the next does; the same for the run of its marker in the part."""


def _halvings(stage: Index, marker: NDArray[np.float64], group: Index, kept: NDArray[np.bool_]) -> Iterator[_Halves]:
    """From the highest bit of the stages to the lowest; rows of different groups are never in one part."""
    row = np.flatnonzero(kept)
    row = row[np.lexsort((marker[row], group[row]))]
    for bit in range(int(stage.max(initial=0)).bit_length() - 1, -1, -1):
        ordered = stage[row] >> bit
        earlier = (ordered & 1) == 0
        new_part = changes(ordered >> 1) | changes(group[row])
        part_start, part_end = _runs(new_part)
        yield _Halves(row, earlier, (part_start, part_end, *_runs(new_part | changes(marker[row]))))
        row = row[_partition(earlier, part_start, part_end)]


def _partition(first: NDArray[np.bool_], part_start: Index, part_end: Index) -> Index:
    """The order that puts the `first` of each part before its others, and keeps the order within both."""
    position = np.arange(len(first))
    before = np.concatenate([[0], np.cumsum(first)])
    own = before[:-1] - before[part_start]
    size = before[part_end] - before[part_start]
    target = np.where(first, part_start + own, position + size - own)
    order = np.empty_like(position)
    order[target] = position
    return order


def _runs(starts: NDArray[np.bool_]) -> tuple[Index, Index]:
    """For each position, where its run begins and where the next one does."""
    bounds = np.append(np.flatnonzero(starts), len(starts))
    number = np.cumsum(starts) - 1
    return bounds[number], bounds[number + 1]


def _running(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (rows + 1, ...) of the first 0, 1, … rows.

    With columns it goes in blocks: `cumsum` along the first axis walks through memory one column at a time.
    """
    running = np.zeros((len(weight) + 1, *weight.shape[1:]))
    if weight.ndim == 1:
        np.cumsum(weight, out=running[1:])
        return running
    size = int(len(weight) ** 0.5)
    n_blocks = len(weight) // size
    whole = weight[: n_blocks * size].reshape(n_blocks, size, *weight.shape[1:])
    blocks = running[1 : n_blocks * size + 1].reshape(whole.shape)
    blocks[:, 0] = whole[:, 0]
    for k in range(1, size):
        np.add(blocks[:, k - 1], whole[:, k], out=blocks[:, k])
    for block in range(1, n_blocks):
        blocks[block] += blocks[block - 1, -1]
    for row in range(n_blocks * size, len(weight)):
        running[row + 1] = running[row] + weight[row]
    return running
