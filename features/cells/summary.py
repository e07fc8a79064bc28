"""The summary of the cells of each sample, of which patient features are made.

A summary keeps sums over cells by cell type, so that composition, pseudobulk, program scores and the choice of variable
genes follow from it and no model ever needs the cells twice. Nothing here is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import Bags, CellBag
from features.errors import SequelaError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TARGET_SUM = 1e4
"""Counts per cell after library-size normalisation, scanpy's customary `target_sum`."""
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class MeasuredCells:
    """The cells of a cohort's samples: summarised, and to be read."""

    sample_id: tuple[str, ...]
    summary: CellSummary
    """One sample each, in the same order."""
    bags: Bags
    """One sample each, in the same order."""

    @classmethod
    def of(cls, bags: Mapping[str, CellBag], *, counts: bool) -> MeasuredCells:
        """Summarise samples that are in memory."""
        summaries = [summarise(bag, counts=counts) for bag in bags.values()]
        summary = CellSummary.concatenate(summaries) if summaries else CellSummary.of_no_cells(0)
        return cls(tuple(bags), summary, Bags.of(list(bags.values())))


@dataclass(frozen=True, slots=True)
class AlignedSums:
    """Sums over the cells of each sample over given cell types and genes, as dense tables."""

    cell_types: tuple[str, ...]
    genes: tuple[str, ...]
    n_cells: FloatArray
    """(samples, cell types)."""
    total: FloatArray
    """(samples, cell types, genes)."""
    lognorm: FloatArray
    """(samples, cell types, genes)."""
    depth: FloatArray
    """(samples, cell types): sum of `total` over a panel of genes."""
    level: FloatArray
    """(samples, cell types): sum of `lognorm` over a panel of genes."""


@dataclass(frozen=True, slots=True)
class CellSummary:
    """Sums over the cells of each sample by cell type; one group for each type that a sample has.

    The sums themselves may be memory-mapped: taking samples moves indices, never sums.
    """

    cell_types: tuple[str, ...]
    genes: tuple[str, ...]
    offsets: IntArray
    """(samples + 1,): groups of sample i are ``offsets[i]:offsets[i + 1]``."""
    cell_type: IntArray
    """(groups,): index into `cell_types`, ascending within a sample."""
    n_cells: FloatArray
    """(groups,)."""
    group: IntArray
    """(groups,): row of each group in `total` and `lognorm`."""
    sample: IntArray
    """(samples,): row of each sample in `normalised`, `squared` and `numbers`; -1 for samples without cells."""
    total: FloatArray
    """(stored groups, genes): sums of the values as measured (raw counts, or intensities)."""
    lognorm: FloatArray
    """(stored groups, genes): sums of log1p(counts · 10⁴ / counts of the cell); intensities enter as they are."""
    normalised: FloatArray
    """(stored samples, genes): sums over all cells of counts · 10⁴ / counts of the cell; intensities as they are."""
    squared: FloatArray
    """(stored samples, genes): sums of the squares of these."""
    numbers: Mapping[str, FloatArray]
    """(stored samples,) each: what else is known of a sample, e.g. ``car_positive_share``; NaN where it is not."""

    def __len__(self) -> int:
        return len(self.sample)

    def take(self, samples: IntArray) -> CellSummary:
        """The given samples, in that order; samples may repeat, and -1 gives a sample without cells."""
        there = samples >= 0
        lengths = np.where(there, np.append(np.diff(self.offsets), 0)[samples], 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        picked = np.repeat(self.offsets[samples] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(
            self,
            offsets=offsets,
            cell_type=self.cell_type[picked],
            n_cells=self.n_cells[picked],
            group=self.group[picked],
            sample=np.where(there, np.append(self.sample, -1)[samples], -1),
        )

    @property
    def cells_by_type(self) -> FloatArray:
        """(samples, cell types): number of cells."""
        table = np.zeros((len(self), len(self.cell_types)))
        table[self._sample_of_group(), self.cell_type] = self.n_cells
        return table

    def number(self, name: str) -> FloatArray:
        """(samples,): a number known of each sample; NaN where it is not known."""
        values = self.numbers.get(name)
        return np.full(len(self), np.nan) if values is None else np.append(values, np.nan)[self.sample]

    def aligned(
        self, cell_types: Sequence[str], genes: Sequence[str], panel: Sequence[str] | None = None
    ) -> AlignedSums:
        """Dense sums over other cell types and genes; what is not here is zero, the rest is left out.

        Args:
            cell_types: Which cell types, in this order.
            genes: Which genes, in this order.
            panel: The genes over which `AlignedSums.depth` and `AlignedSums.level` are summed; None: `genes`.
        """
        type_from, type_to = _matches(self.cell_types, cell_types)
        gene_from, gene_to = _matches(self.genes, genes)
        on_panel = gene_from if panel is None else _matches(self.genes, panel)[0]
        place = np.full(len(self.cell_types) + 1, -1, dtype=np.int64)
        place[type_from] = type_to
        kept = np.flatnonzero(place[self.cell_type] >= 0)
        sample, column = self._sample_of_group()[kept], place[self.cell_type[kept]]
        shape = (len(self), len(cell_types))
        n_cells = np.zeros(shape)
        n_cells[sample, column] = self.n_cells[kept]
        sums, over_panel = np.zeros((2, *shape, len(genes))), np.zeros((2, *shape))
        for start in range(0, len(kept), _ROWS_AT_ONCE):  # the stored sums may lie on disk, and be larger than memory
            part = slice(start, start + _ROWS_AT_ONCE)
            at = (sample[part], column[part])
            for which, stored in enumerate((self.total, self.lognorm)):
                rows = np.asarray(stored[self.group[kept[part]]])
                sums[which][at[0][:, None], at[1][:, None], gene_to] = rows[:, gene_from]
                over_panel[which][at] = rows[:, on_panel].sum(axis=1)
        return AlignedSums(tuple(cell_types), tuple(genes), n_cells, sums[0], sums[1], over_panel[0], over_panel[1])

    def moments(self, genes: Sequence[str]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Cells (samples,), and mean and variance (samples, genes) over them of normalised counts, or of intensities.

        Genes that are not here have zeros; a variance of fewer than two cells is 0.
        """
        n_cells = self.cells_by_type.sum(axis=1)
        have, want = _matches(self.genes, genes)
        sums = np.zeros((2, len(self), len(genes)))
        there = np.flatnonzero(self.sample >= 0)
        for start in range(0, len(there), _ROWS_AT_ONCE):
            rows = there[start : start + _ROWS_AT_ONCE]
            for which, stored in enumerate((self.normalised, self.squared)):
                sums[which][rows[:, None], want] = np.asarray(stored[self.sample[rows]])[:, have]
        mean = sums[0] / np.maximum(n_cells, 1.0)[:, None]
        variance = (sums[1] - sums[0] * mean) / np.maximum(n_cells - 1.0, 1.0)[:, None]
        return n_cells, mean, np.maximum(variance, 0.0)

    @staticmethod
    def concatenate(summaries: Sequence[CellSummary]) -> CellSummary:
        """Samples one after the other, over the union of their cell types and genes."""
        cell_types = tuple(sorted({name for summary in summaries for name in summary.cell_types}))
        genes = tuple(dict.fromkeys(gene for summary in summaries for gene in summary.genes))
        type_of = {name: i for i, name in enumerate(cell_types)}
        lengths = np.concatenate([np.diff(summary.offsets) for summary in summaries])
        codes = [np.array([type_of[name] for name in s.cell_types], dtype=np.int64)[s.cell_type] for s in summaries]
        n_groups, n_samples = int(lengths.sum()), len(lengths)
        names = dict.fromkeys(name for summary in summaries for name in summary.numbers)
        return CellSummary(
            cell_types,
            genes,
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate(codes),
            np.concatenate([summary.n_cells for summary in summaries]),
            np.arange(n_groups),
            np.where(np.concatenate([summary.sample for summary in summaries]) >= 0, np.arange(n_samples), -1),
            _stacked([(s.total, s.group, s.genes) for s in summaries], genes),
            _stacked([(s.lognorm, s.group, s.genes) for s in summaries], genes),
            _stacked([(s.normalised, s.sample, s.genes) for s in summaries], genes),
            _stacked([(s.squared, s.sample, s.genes) for s in summaries], genes),
            {name: np.concatenate([summary.number(name) for summary in summaries]) for name in names},
        )

    @staticmethod
    def of_no_cells(n_samples: int) -> CellSummary:
        """Samples of which no cell was measured."""
        none, empty = np.zeros(0, dtype=np.int64), np.zeros((0, 0))
        return CellSummary(
            (), (), np.zeros(n_samples + 1, dtype=np.int64), none, np.zeros(0), none, np.full(n_samples, -1),
            empty, empty, empty, empty, {},
        )  # fmt: skip

    def _sample_of_group(self) -> IntArray:
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def _stacked(parts: Sequence[tuple[FloatArray, IntArray, Sequence[str]]], genes: Sequence[str]) -> FloatArray:
    """Rows of tables over different genes, one under the other, over all of them."""
    stacked = np.zeros((sum(len(rows) for _, rows, _ in parts), len(genes)))
    start = 0
    for table, rows, own in parts:
        have, want = _matches(own, genes)
        there = np.flatnonzero(rows >= 0)
        stacked[(start + there)[:, None], want] = table[rows[there]][:, have]
        start += len(rows)
    return stacked


def _matches(have: Sequence[str], want: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Positions in `have` and in `want` of the names that both hold."""
    place = {name: i for i, name in enumerate(have)}
    pairs = [(place[name], j) for j, name in enumerate(want) if name in place]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def summarise(bag: CellBag, *, counts: bool, numbers: Mapping[str, float] | None = None) -> CellSummary:
    """Summarise one sample; the order of its cells does not matter beyond rounding.

    Args:
        bag: The cells of the sample.
        counts: Whether values are raw counts, to be normalised to 10⁴ a cell and log1p-transformed (Luecken & Theis,
            Mol Syst Biol 2019;15:e8746, section "Normalization"), or intensities, used as they are.
        numbers: What else is known of the sample.

    Raises:
        SequelaError: A count is negative or not finite.
    """
    if not np.isfinite(bag.values).all() or (counts and (bag.values < 0).any()):
        msg = "cells: every value must be finite, and every raw count at least 0; check the expression matrix"
        raise SequelaError(msg)
    cell = np.repeat(np.arange(len(bag)), np.diff(bag.indptr))
    values = bag.values * _scale(bag, cell)[cell] if counts else bag.values
    labels = list(map(str, bag.cell_type))  # an array of texts would be as wide as the longest
    cell_types = sorted(set(labels))
    place = {label: i for i, label in enumerate(cell_types)}
    type_of_cell = np.fromiter((place[label] for label in labels), dtype=np.int64, count=len(labels))
    n_types, n_genes = len(cell_types), len(bag.genes)
    flat = type_of_cell[cell] * n_genes + bag.indices

    def by_type(weights: FloatArray) -> FloatArray:
        return _sums(flat, weights, n_types * n_genes).reshape(n_types, n_genes)

    return CellSummary(
        tuple(cell_types),
        bag.genes,
        np.array([0, n_types]),
        np.arange(n_types),
        np.bincount(type_of_cell, minlength=n_types).astype(np.float64),
        np.arange(n_types),
        np.zeros(1, dtype=np.int64),
        by_type(bag.values),
        by_type(np.log1p(values) if counts else values),
        _sums(bag.indices, values, n_genes)[None],
        _sums(bag.indices, values**2, n_genes)[None],
        {name: np.array([value]) for name, value in (numbers or {}).items()},
    )


def _sums(group: NDArray[Any], values: FloatArray, n_groups: int) -> FloatArray:
    """(n_groups,): sums of values by group; `np.bincount` alone gives integers when there is no value."""
    return np.bincount(group, weights=values, minlength=n_groups).astype(np.float64)


def _scale(bag: CellBag, cell: IntArray) -> FloatArray:
    """(cells,): factor that brings each cell to `TARGET_SUM`; cells without a count keep 0."""
    totals = _sums(cell, bag.values, len(bag))
    return np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
