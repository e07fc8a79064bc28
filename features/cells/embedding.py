"""Principal components of single cells, fitted on training cells alone.

Components are those of log-normalised counts (Luecken & Theis, Mol Syst Biol 2019;15:e8746), centred gene by gene and
not standardised, as ``scanpy.pp.pca`` does by default: after the logarithm genes share a scale, and standardising would
lift the noise of rarely read ones. Intensities of markers have units of their own and are standardised as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.cells.quality import row_sums
from features.cells.summary import TARGET_SUM
from features.errors import SequelaError
from features.patients import FloatArray, IntArray, gather

CELLS_AT_ONCE = 1024
_FORMAT = "sequela-cell-pca/1"
_ARRAYS = ("center", "scale", "components", "explained")


@dataclass(frozen=True, slots=True)
class Expression:
    """Expression of cells over chosen genes: the entries that may differ from 0."""

    n_cells: int
    cell: NDArray[np.int32]
    """(values,): ascending."""
    column: NDArray[np.int32]
    """(values,): index of the gene; each pair of cell and gene occurs once."""
    value: NDArray[np.float32]
    """(values,)."""

    def dense(self, n_genes: int) -> NDArray[np.float32]:
        """(cells, genes)."""
        table = np.zeros((self.n_cells, n_genes), dtype=np.float32)
        self.put(table)
        return table

    def put(self, table: NDArray[np.float32]) -> None:
        """Write the entries into a contiguous table (cells or more, genes)."""
        table.reshape(-1)[self.cell.astype(np.int64) * table.shape[1] + self.column] = self.value

    def cells(self, start: int, stop: int) -> Expression:
        """Neighbouring cells."""
        stop = min(stop, self.n_cells)
        part = slice(*np.searchsorted(self.cell, [start, stop]).tolist())
        return Expression(stop - start, self.cell[part] - np.int32(start), self.column[part], self.value[part])

    @staticmethod
    def joined(parts: Sequence[Expression]) -> Expression:
        """Cells one after the other."""
        before = np.cumsum([0, *(part.n_cells for part in parts)])
        return Expression(
            int(before[-1]),
            np.concatenate([part.cell + np.int32(n) for part, n in zip(parts, before, strict=False)]),
            np.concatenate([part.column for part in parts]),
            np.concatenate([part.value for part in parts]),
        )


def expression_blocks(
    bag: CellBag, genes: Sequence[str], *, counts: bool, cells_at_once: int = CELLS_AT_ONCE
) -> Iterator[Expression]:
    """Expression over the given genes, some cells at a time, in their order.

    Counts become log1p of 10⁴ times their share of all the counts of the cell, as in `features.cells.summary`;
    intensities stay as they are. Genes that are not on the panel are 0; columns of one name add up.

    Raises:
        SequelaError: A value is not finite, or a count is negative.
    """
    require_possible(bag, counts=counts)
    column, repeated = aligned_columns(bag.genes, genes)
    scale = library_scale(bag) if counts else None
    for start in range(0, len(bag), cells_at_once):
        pointers = bag.indptr[start : start + cells_at_once + 1]
        part = slice(int(pointers[0]), int(pointers[-1]))
        at, cell, value = column[bag.indices[part]], _rows(pointers), bag.values[part]
        if scale is not None:
            value = value * scale[start + cell]
        chosen = at >= 0
        if not chosen.all():
            at, cell, value = at[chosen], cell[chosen], value[chosen]
        if repeated:
            cell, at, value = _added_up(cell, at, value, len(genes))
        small = value.astype(np.float32)
        yield Expression(len(pointers) - 1, cell, at, np.log1p(small) if counts else small)


def require_possible(bag: CellBag, *, counts: bool) -> None:
    """Refuse values that cannot have been measured.

    Raises:
        SequelaError: A value is not finite, or a count is negative.
    """
    if not np.isfinite(bag.values).all() or (counts and (bag.values < 0).any()):
        msg = "cells: every value must be finite, and every raw count at least 0; check the expression matrix"
        raise SequelaError(msg)


def aligned_columns(panel: Sequence[str], genes: Sequence[str]) -> tuple[NDArray[np.int32], bool]:
    """(panel,): place of each gene of a panel among `genes`, or −1; and whether two have the same place."""
    place = {gene: i for i, gene in enumerate(genes)}
    column = np.array([place.get(gene, -1) for gene in panel], dtype=np.int32)
    used = column[column >= 0]
    return column, len(np.unique(used)) < len(used)


def library_scale(bag: CellBag) -> FloatArray:
    """(cells,): factor that brings the counts of each cell to `TARGET_SUM`; 0 for cells without a count."""
    totals = row_sums(bag, bag.values)
    return np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)


def _rows(pointers: IntArray) -> NDArray[np.int32]:
    return np.repeat(np.arange(len(pointers) - 1, dtype=np.int32), np.diff(pointers))


def _added_up(
    cell: NDArray[np.int32], column: NDArray[np.int32], value: FloatArray, n_genes: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], FloatArray]:
    """Entries with those of the same cell and gene added up."""
    flat, entry = np.unique(cell.astype(np.int64) * n_genes + column, return_inverse=True)
    summed = np.bincount(entry, weights=value, minlength=len(flat)).astype(np.float64)
    return (flat // n_genes).astype(np.int32), (flat % n_genes).astype(np.int32), summed


@dataclass(frozen=True, slots=True)
class CellPca:
    """A projection of cells on few axes; each cell by itself, so that their order and company do not matter."""

    genes: tuple[str, ...]
    counts: bool
    """Whether it takes raw counts, or intensities."""
    center: FloatArray
    """(genes,): training means."""
    scale: FloatArray
    """(genes,): 1 for counts; training standard deviations of intensities, infinite for constant ones."""
    components: FloatArray
    """(components, genes): orthonormal, by falling variance, each with its largest entry positive."""
    explained: FloatArray
    """(components,): share of the training variance."""

    @classmethod
    def fit(
        cls,
        bags: Iterable[CellBag],
        genes: Sequence[str],
        *,
        counts: bool,
        n_components: int = 30,
        max_cells: int = 50_000,
        seed: int = 0,
    ) -> CellPca:
        """Fit on cells of training samples, read once and one sample at a time.

        Of each sample at most ``max_cells / samples`` cells enter, drawn at random, so that a sample with many cells
        does not set the axes; a sample with fewer gives all of them. The covariance is summed over blocks of cells in
        double precision: at no time are all cells dense.

        Args:
            bags: Cells of training samples.
            genes: The genes that enter, usually variable ones (`features.cells.variable_genes`).
            counts: Whether values are raw counts, or intensities.
            n_components: How many; fewer when the cells span fewer.
            max_cells: How many cells enter at most.
            seed: Of the draw.

        Raises:
            SequelaError: Fewer than two cells, cells that do not differ, or an impossible value.
        """
        drawn = _draw(bags, genes, max_cells, seed, counts=counts)
        if drawn.n_cells < 2:
            msg = (
                f"cells: principal components need two cells or more, and there are {drawn.n_cells}; give more samples"
            )
            raise SequelaError(msg)
        center, covariance = _moments(drawn, len(genes))
        spread = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
        scale = np.ones(len(genes)) if counts else np.where(spread > 1e-8, spread, np.inf)
        covariance = covariance / scale / scale[:, None]
        variance, axes = _leading_axes(covariance, n_components)
        if not len(axes):
            msg = "cells: no gene differs between the training cells; check the genes and the expression matrix"
            raise SequelaError(msg)
        return cls(tuple(genes), counts, center, scale, axes, variance / np.trace(covariance))

    def transform(self, bag: CellBag) -> NDArray[np.float32]:
        """(cells, components); the panel may have any genes in any order, absent ones count as not expressed.

        Raises:
            SequelaError: A value is not finite, or a count is negative.
        """
        weights = (self.components / self.scale).astype(np.float32).T
        offset = ((self.center / self.scale) @ self.components.T).astype(np.float32)
        projected = np.empty((len(bag), len(self.components)), dtype=np.float32)
        table = np.zeros((CELLS_AT_ONCE, len(self.genes)), dtype=np.float32)
        start = 0
        for block in expression_blocks(bag, self.genes, counts=self.counts):
            stop = start + block.n_cells
            block.put(table)
            np.subtract(table[: block.n_cells] @ weights, offset, out=projected[start:stop])
            table[:] = 0.0
            start = stop
        return projected

    def overlap(self, bag: CellBag) -> float:
        """Share of the genes that are on the panel of the cells."""
        return len(set(self.genes) & set(bag.genes)) / max(len(set(self.genes)), 1)

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds the projection from."""
        sizes = {"format": _FORMAT, "genes": list(self.genes), "counts": self.counts}
        return sizes, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> CellPca:
        """Rebuild what `state` described.

        Raises:
            SequelaError: It describes no projection of cells, or shapes do not agree.
        """
        genes = tuple(sizes.get("genes", ()))
        found = {name: np.asarray(arrays[name], dtype=np.float64) for name in _ARRAYS if name in arrays}
        n = len(found["components"]) if "components" in found else 0
        wanted = {"center": (len(genes),), "scale": (len(genes),), "components": (n, len(genes)), "explained": (n,)}
        if sizes.get("format") != _FORMAT or {name: array.shape for name, array in found.items()} != wanted:
            msg = f"cells: this is no {_FORMAT} with an entry for each gene; fit the components again"
            raise SequelaError(msg)
        return cls(genes, bool(sizes["counts"]), **found)


def _draw(bags: Iterable[CellBag], genes: Sequence[str], max_cells: int, seed: int, *, counts: bool) -> Expression:
    """Expression of an equal number of cells of each sample, or of all those it has.

    The number of samples is known only at the end: of each, the cells are put in random order, and as more samples come
    only the first of them are kept, which is the same draw as if the number had been known.
    """
    none = np.zeros(0, dtype=np.int32)
    drawn = [Expression(0, none, none, np.zeros(0, dtype=np.float32))]
    quota = max_cells
    for i, bag in enumerate(bag for bag in bags if len(bag)):
        quota = max(max_cells // (i + 1), 1)
        cells = np.random.default_rng([seed, i]).permutation(len(bag))[:quota]
        taken = _take(bag, cells)
        drawn.extend(expression_blocks(taken, genes, counts=counts, cells_at_once=len(taken)))
        if sum(part.n_cells for part in drawn) > 2 * max_cells:
            drawn = [part.cells(0, quota) for part in drawn]
    return Expression.joined([part.cells(0, quota) for part in drawn])


def _take(bag: CellBag, cells: IntArray) -> CellBag:
    """Some cells, in the given order."""
    picked, indptr = gather(bag.indptr, cells)
    return CellBag(bag.genes, indptr, bag.indices[picked], bag.values[picked], bag.cell_type[cells])


def _moments(drawn: Expression, n_genes: int) -> tuple[FloatArray, FloatArray]:
    """Mean (genes,) and covariance (genes, genes) of cells."""
    center = np.bincount(drawn.column, weights=drawn.value, minlength=n_genes) / drawn.n_cells
    shift = center.astype(np.float32)
    scatter = np.zeros((n_genes, n_genes))
    for start in range(0, drawn.n_cells, CELLS_AT_ONCE):
        x = drawn.cells(start, start + CELLS_AT_ONCE).dense(n_genes) - shift
        scatter += x.T @ x
    return center, scatter / (drawn.n_cells - 1)


def _leading_axes(covariance: FloatArray, n_axes: int) -> tuple[FloatArray, FloatArray]:
    """Variances (axes,) and axes (axes, genes) of a covariance, by falling variance, with their signs fixed."""
    values, vectors = np.linalg.eigh(covariance)
    leading = np.argsort(values)[::-1][:n_axes]
    leading = leading[values[leading] > max(1e-7 * float(values.max(initial=0.0)), 1e-12)]
    axes = vectors[:, leading].T
    sign = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    return values[leading], axes * sign[:, None]
