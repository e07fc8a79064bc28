"""Filling the shards of a feature store from a file of cells: genes named, cells processed, values and sums written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from features.cells import matrix
from features.cells.bag import CellBag
from features.cells.genes import resolve
from features.cells.matrix import Rows, tidy
from features.cells.store_files import Shard, StoredFile, StoreError
from features.cells.store_write import ShardWriter
from features.schema import CellsCard

if TYPE_CHECKING:
    from features.cells.anndata_io import CellFile

Processor = Callable[[CellBag], tuple[CellBag, dict[str, float]]]
"""Turns the cells of a sample into those that are kept, and what else was found out about it. Can be pickled."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker has to know."""

    cells: Path
    card: CellsCard
    processor: Processor | None


@dataclass(frozen=True, slots=True)
class GeneColumns:
    """Which gene each column of X belongs to."""

    genes: tuple[str, ...]
    gene_of_column: NDArray[np.int32] | None
    """(columns,): index into `genes`; None where every column is a gene of its own."""

    @classmethod
    def of(cls, columns: Sequence[str], kind: str) -> GeneColumns:
        """Canonical names of genes, so that several columns may become one; names of markers as they are."""
        names = resolve(columns).canonical if kind == "genes" else tuple(columns)
        place = {name: i for i, name in enumerate(dict.fromkeys(names))}
        if len(place) == len(names):
            return cls(tuple(names), None)
        return cls(tuple(place), np.array([place[name] for name in names], dtype=np.int32))

    def apply(self, rows: Rows) -> Rows:
        """The rows over genes; the values of columns that are one gene are added up."""
        if self.gene_of_column is None:
            return rows
        shape = (len(rows), len(self.genes))
        parts = (rows.values.astype(np.float64), self.gene_of_column[rows.indices], rows.indptr)
        merged = scipy.sparse.csr_matrix(parts, shape=shape)
        merged.sum_duplicates()
        merged.eliminate_zeros()
        return Rows(merged.indptr.astype(np.int64), merged.indices, merged.data)


class Filler:
    """Fills shards from one open file of cells. Close it, or use it as a context manager."""

    def __init__(self, job: Job) -> None:
        from features.cells.anndata_io import CellFile

        self.job = job
        self.cells: CellFile = CellFile.open(job.cells)
        self.columns = GeneColumns.of(self.cells.genes, job.card.genes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cells.close()

    def fill(
        self, folder: Path, which: tuple[int, int], count: Callable[[int], None]
    ) -> tuple[Shard, dict[str, StoredFile]]:
        """Write the samples ``which[0]:which[1]`` of the file; `count` hears of cells that are done."""
        counts = self.job.card.values == "counts" and getattr(self.job.processor, "counts", True)
        with ShardWriter(folder, len(self.columns.genes), counts=counts) as writer:
            for sample in self.cells.sample_rows(range(*which)):
                name = self.cells.samples[sample.number]
                labels = self.cells.labels(sample.cells)
                parts: Iterator[Rows] = (self.columns.apply(rows) for rows in sample.parts)
                numbers: dict[str, float] = {}
                if self.job.processor is not None:
                    labels, parts, numbers = self._processed(name, labels, parts)
                for n in writer.add(name, labels, parts, numbers):
                    if self.job.processor is None:
                        count(n)
                if self.job.processor is not None:
                    count(len(sample.cells))
            return writer.close()

    def _processed(
        self, name: str, labels: NDArray[np.object_], parts: Iterator[Rows]
    ) -> tuple[NDArray[np.object_], Iterator[Rows], dict[str, float]]:
        """The cells of a sample after processing, which needs them all at once."""
        rows, genes = Rows.joined(list(parts)), self.columns.genes
        values = rows.values.astype(np.float64)
        bag = CellBag(genes, rows.indptr, rows.indices.astype(np.int64), values, labels)
        assert self.job.processor is not None  # noqa: S101 - for the type checker
        bag, numbers = self.job.processor(bag)
        if bag.genes != genes:
            msg = f"cells of sample {name}: processing changed the genes; it may change cells and values only"
            raise StoreError(msg)
        return bag.cell_type, _cut(bag, name), numbers


def _cut(bag: CellBag, name: str) -> Iterator[Rows]:
    """The cells of a bag, some at a time."""
    step = max(1, matrix.BLOCK_VALUES * len(bag) // max(1, len(bag.values)))
    for first in range(0, len(bag), step):
        pointers = bag.indptr[first : first + step + 1]
        part = slice(int(pointers[0]), int(pointers[-1]))
        rows = Rows(pointers - pointers[0], bag.indices[part].astype(np.int32), bag.values[part])
        found = tidy(rows, len(bag.genes))
        if found is None:
            msg = f"cells of sample {name}: processing gave a gene of a cell twice"
            raise StoreError(msg)
        yield found
