"""The heavy steps on an accelerator, through torch: the same numbers as numpy's, within rounding.

What is here is what costs time per cell: sums of normalised counts by cell type (the `CellSummary` of a sample),
projection on principal components, random Fourier features. Work goes to CUDA or Apple's MPS, whichever there is, and
else to numpy, with one line in the log: on a CPU numpy is two to three times as fast (``benchmarks/accelerate.py``).

Accuracy: arithmetic on values and matrix products are in float32 or float64; sums are in double precision wherever the
device has it (MPS has not). Against numpy in double precision, relative to the largest value of a table, results agree
to 1e-9 in float64 and to 1e-5 in float32. Projections of numpy are in float32 themselves.

rapids-singlecell was considered: it offers far more of scanpy's interface, but needs NVIDIA's hardware and the CuPy and
RAPIDS packages beside it. torch is a dependency already, and the same code runs, and is tested, without an accelerator.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.cells.density import DensityEmbedding
from features.cells.embedding import CellPca, aligned_columns, require_possible
from features.cells.summary import TARGET_SUM, CellSummary, summarise
from features.errors import SequelaError
from features.patients import FloatArray

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)
VALUES_AT_ONCE = 1 << 24
"""Values of a block of cells: some 600 MB on the device."""
DENSE_AT_ONCE = 1 << 26
"""Entries of a dense block (cells, genes): 256 MB in float32."""


@cache
def device() -> torch.device:
    """The accelerator of this machine, or the CPU with one line in the log, once a process."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    logger.info("no accelerator found (CUDA, MPS): features of cells are computed on the CPU")
    return torch.device("cpu")


@dataclass(frozen=True, slots=True)
class _Block:
    """Some cells of a bag on the device."""

    start: int
    n_cells: int
    cell: torch.Tensor
    """(values,): row within the block."""
    gene: torch.Tensor
    """(values,): int64."""
    value: torch.Tensor
    """(values,): as measured."""
    normalised: torch.Tensor
    """(values,): counts · 10⁴ / counts of the cell; intensities as they are."""
    expression: torch.Tensor
    """(values,): log1p of these; intensities as they are."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Where to compute, and in which precision.

    Args:
        on: The device, for torch even if it is the CPU; None: `device()`, and numpy if that is the CPU.
        double: float64, which MPS does not have, or float32.
    """

    on: torch.device | None = None
    double: bool = False
    target: torch.device = field(init=False)
    by_numpy: bool = field(init=False)
    """Whether it fell back to numpy."""

    def __post_init__(self) -> None:
        target = self.on if self.on is not None else device()
        if self.double and target.type == "mps":
            msg = "accelerator: MPS has no double precision; take float32, or the CPU"
            raise SequelaError(msg)
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "by_numpy", self.on is None and target.type == "cpu" and not self.double)

    @property
    def dtype(self) -> torch.dtype:
        """Of the arithmetic on each value."""
        import torch

        return torch.float64 if self.double else torch.float32

    @property
    def sum_dtype(self) -> torch.dtype:
        """Of sums over cells."""
        import torch

        return torch.float32 if self.target.type == "mps" else torch.float64

    def summarise(self, bag: CellBag, *, counts: bool, numbers: Mapping[str, float] | None = None) -> CellSummary:
        """What `features.cells.summary.summarise` gives.

        Raises:
            SequelaError: A value is not finite, or a count is negative.
        """
        if self.by_numpy:
            return summarise(bag, counts=counts, numbers=numbers)
        import torch

        cell_types, type_of_cell = np.unique(bag.cell_type.astype(str), return_inverse=True)
        n_types, n_genes = len(cell_types), len(bag.genes)
        row = torch.as_tensor(type_of_cell.astype(np.int64), device=self.target)
        by_type = torch.zeros((2, n_types * n_genes), dtype=self.sum_dtype, device=self.target)
        pooled = torch.zeros((2, n_genes), dtype=self.sum_dtype, device=self.target)
        for block in self._blocks(bag, None, counts=counts):
            flat = row[block.start + block.cell] * n_genes + block.gene
            by_type[0].index_add_(0, flat, block.value.to(self.sum_dtype))
            by_type[1].index_add_(0, flat, block.expression.to(self.sum_dtype))
            normalised = block.normalised.to(self.sum_dtype)
            pooled[0].index_add_(0, block.gene, normalised)
            pooled[1].index_add_(0, block.gene, normalised.square())
        total, lognorm = by_type.cpu().numpy().astype(np.float64).reshape(2, n_types, n_genes)
        sums, squares = pooled.cpu().numpy().astype(np.float64)
        return CellSummary(
            tuple(map(str, cell_types)),
            bag.genes,
            np.array([0, n_types]),
            np.arange(n_types),
            np.bincount(type_of_cell, minlength=n_types).astype(np.float64),
            np.arange(n_types),
            np.zeros(1, dtype=np.int64),
            total,
            lognorm,
            sums[None],
            squares[None],
            {name: np.array([value]) for name, value in (numbers or {}).items()},
        )

    def project(self, pca: CellPca, bag: CellBag) -> FloatArray | NDArray[np.float32]:
        """What `CellPca.transform` gives: (cells, components), float64 in double precision and float32 else."""
        if self.by_numpy:
            return pca.transform(bag)
        empty = np.zeros((0, len(pca.components)), dtype=np.float64 if self.double else np.float32)
        return np.concatenate([empty, *(part.cpu().numpy() for part in self._projected(pca, bag))])

    def means(self, embedding: DensityEmbedding, bag: CellBag) -> FloatArray:
        """What `DensityEmbedding.means` gives: (2 · frequencies,), NaN without cells."""
        if self.by_numpy:
            return embedding.means(bag)
        import torch

        n = len(embedding.frequencies)
        if not len(bag):
            return np.full(2 * n, np.nan)
        weights = torch.as_tensor(embedding.frequencies.T, dtype=self.dtype, device=self.target)
        total = torch.zeros((2, n), dtype=self.sum_dtype, device=self.target)
        for cells in self._projected(embedding.pca, bag):
            angle = cells @ weights
            total[0] += angle.cos().sum(dim=0, dtype=self.sum_dtype)
            total[1] += angle.sin().sum(dim=0, dtype=self.sum_dtype)
        features: FloatArray = total.cpu().numpy().astype(np.float64).reshape(-1) / (len(bag) * np.sqrt(n))
        return features

    def _projected(self, pca: CellPca, bag: CellBag) -> Iterator[torch.Tensor]:
        """(cells, components) on the device, block of cells by block of cells."""
        import torch

        n_genes = len(pca.genes)
        weights = torch.as_tensor((pca.components / pca.scale).T, dtype=self.dtype, device=self.target)
        offset = torch.as_tensor((pca.center / pca.scale) @ pca.components.T, dtype=self.dtype, device=self.target)
        column, repeated = aligned_columns(bag.genes, pca.genes)
        if repeated:
            msg = "cells: two columns of the panel have one name; add them up before using an accelerator"
            raise SequelaError(msg)
        for block in self._blocks(bag, column, counts=pca.counts):
            table = torch.zeros(block.n_cells * n_genes, dtype=self.dtype, device=self.target)
            table[block.cell * n_genes + block.gene] = block.expression
            yield table.reshape(block.n_cells, n_genes) @ weights - offset

    def _blocks(self, bag: CellBag, column: NDArray[np.int32] | None, *, counts: bool) -> Iterator[_Block]:
        """Blocks of cells on the device, over the panel, or over the genes whose places `column` (panel,) gives."""
        import torch

        require_possible(bag, counts=counts)
        place = None if column is None else torch.as_tensor(column.astype(np.int64), device=self.target)
        n_genes = 0 if column is None else int(column.max(initial=0)) + 1
        for start, stop in _cuts(bag.indptr, DENSE_AT_ONCE // n_genes if n_genes else len(bag)):
            part = slice(int(bag.indptr[start]), int(bag.indptr[stop]))
            lengths = torch.as_tensor(np.diff(bag.indptr[start : stop + 1]), device=self.target)
            cell = torch.repeat_interleave(torch.arange(stop - start, device=self.target), lengths)
            gene = torch.as_tensor(bag.indices[part].astype(np.int64, copy=False), device=self.target)
            measured = bag.values[part] if self.double else bag.values[part].astype(np.float32)
            value = torch.as_tensor(measured, dtype=self.dtype, device=self.target)
            normalised = value * self._scale(cell, value, stop - start)[cell] if counts else value
            if place is not None:
                gene = place[gene]
                chosen = gene >= 0
                cell, gene, value, normalised = cell[chosen], gene[chosen], value[chosen], normalised[chosen]
            yield _Block(
                start, stop - start, cell, gene, value, normalised, normalised.log1p() if counts else normalised
            )

    def _scale(self, cell: torch.Tensor, value: torch.Tensor, n_cells: int) -> torch.Tensor:
        """(cells,): factor that brings the counts of each cell to `TARGET_SUM`; 0 for cells without a count."""
        import torch

        depth = torch.zeros(n_cells, dtype=self.sum_dtype, device=self.target)
        depth.index_add_(0, cell, value.to(self.sum_dtype))
        return torch.where(depth > 0, TARGET_SUM / depth, 0.0).to(self.dtype)


def _cuts(indptr: NDArray[np.int64], most_cells: int) -> Iterator[tuple[int, int]]:
    """Ranges of cells of at most `VALUES_AT_ONCE` values and `most_cells` cells, but one cell at least."""
    start, n_cells = 0, len(indptr) - 1
    while start < n_cells:
        fits = int(np.searchsorted(indptr, indptr[start] + VALUES_AT_ONCE, side="right")) - 1
        stop = min(max(min(fits, start + most_cells), start + 1), n_cells)
        yield start, stop
        start = stop
