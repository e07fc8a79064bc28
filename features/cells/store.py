"""The feature store: the cells of a cohort and the sums over them, made once and mapped into memory ever after.

    store = build(cohort.cells, root, card, workers=2)     made, or found
    store = CellStore.open(root, store.key)                 found
    store.summary(), store.bag("S1"), store.batches(512)    nothing is read before it is used

`<root>/<key>/` holds ``manifest.json`` (`features.cells.store_files.Manifest`), the sums as ``total.npy``,
``lognorm.npy``, ``normalised.npy`` and ``squared.npy`` (float64), and in each ``shard-NNNN/`` the cells of some samples
in CSR form (`features.cells.store_shard`). The key is made of the content of the file of cells and of the processing:
whoever asks for the same gets the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from features.cells.bag import Bags, CellBag
from features.cells.store_batches import CellBatch, iter_batches
from features.cells.store_files import SUMS, Manifest, StoredSample, StoreError, read_manifest, sha256_of_file
from features.cells.store_shard import OpenShard
from features.cells.summary import CellSummary, MeasuredCells
from features.schema import CellsCard

if TYPE_CHECKING:
    from features.cells.store_build import Progress
    from features.cells.store_fill import Processor

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class SampleRow(NamedTuple):
    """One sample of a store, for a table."""

    sample_id: str
    n_cells: int
    n_values: int
    cell_types: dict[str, int]
    numbers: dict[str, float | None]


class StoreRow(NamedTuple):
    """One store under a root, for a table."""

    key: str
    source: str
    n_samples: int
    n_cells: int
    n_values: int
    n_genes: int
    size_bytes: int
    processing: str
    fault: str
    """Why the store cannot be used; empty when it can."""


@dataclass(frozen=True)
class CellStore:
    """A complete feature store, whose files have the sizes they should have. When pickled it is opened anew."""

    folder: Path
    manifest: Manifest
    shards: tuple[OpenShard, ...] = field(repr=False)
    cell_types: tuple[str, ...]
    """All cell types, ascending."""

    @classmethod
    def open(cls, root: Path, key: str, *, verify: bool = False) -> Self:
        """Open a store.

        Args:
            root: Where the stores are.
            key: Its name there.
            verify: Compare the checksums of all files too; this reads them.

        Raises:
            StoreError: There is no such store, or it is damaged.
        """
        return cls._opened(root / key, verify=verify)

    @classmethod
    def _opened(cls, folder: Path, *, verify: bool = False) -> Self:
        manifest = read_manifest(folder)
        cell_types = tuple(sorted({name for shard in manifest.shards for name in shard.cell_types}))
        place = {name: i for i, name in enumerate(cell_types)}
        shards, first = [], 0
        for shard in manifest.shards:
            codes = np.array([place[name] for name in shard.cell_types], dtype=np.int64)
            shards.append(OpenShard(folder / shard.folder, shard, first, codes))
            first += len(shard.samples)
        store = cls(folder, manifest, tuple(shards), cell_types)
        if verify:
            store.verify()
        return store

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return type(self)._opened, (self.folder,)

    @property
    def key(self) -> str:
        """Name of the store."""
        return self.manifest.key

    @property
    def genes(self) -> tuple[str, ...]:
        """Names of the genes, or markers."""
        return self.manifest.genes

    @property
    def _stored(self) -> list[StoredSample]:
        return [sample for shard in self.manifest.shards for sample in shard.samples]

    @property
    def samples(self) -> tuple[str, ...]:
        """Samples in stored order."""
        return tuple(sample.sample_id for sample in self._stored)

    @property
    def n_cells(self) -> int:
        """Number of cells that are stored."""
        return sum(shard.n_cells for shard in self.shards)

    def bag(self, sample_id: str) -> CellBag:
        """The cells of one sample, read now, in the types of a bag (16 bytes a value).

        Raises:
            StoreError: The store has no such sample.
        """
        return self._bag(int(self.rows_of([sample_id])[0]))

    def bags(self, sample_ids: Sequence[str] | None = None) -> Bags:
        """The cells of samples, each read when it is asked for; all samples in stored order if None.

        Raises:
            StoreError: The store has no such sample.
        """
        if sample_ids is None:
            return Bags(self._bag, np.arange(len(self.samples)))
        return Bags(self._bag, self.rows_of(sample_ids))

    def rows_of(self, sample_ids: Sequence[str]) -> IntArray:
        """(samples,): positions of samples in the store, for `CellSummary.take` and `Bags.take`.

        Raises:
            StoreError: The store has no such sample.
        """
        place = {name: i for i, name in enumerate(self.samples)}
        if absent := [name for name in sample_ids if name not in place]:
            msg = f"{self.folder}: no sample {absent[0]}; it is not in {self.manifest.source}"
            raise StoreError(msg)
        return np.array([place[name] for name in sample_ids], dtype=np.int64)

    def _bag(self, number: int) -> CellBag:
        firsts = np.cumsum([0, *(len(shard.samples) for shard in self.manifest.shards)])
        place = int(np.searchsorted(firsts, number, side="right")) - 1
        shard, within = self.shards[place], number - int(firsts[place])
        first, stop = (int(cell) for cell in shard.starts[within : within + 2])
        pointers = shard.indptr[first : stop + 1]
        part = slice(int(pointers[0]), int(pointers[-1]))
        labels = np.array(self.cell_types, dtype=object)[shard.type_of(first, stop)]
        return CellBag(
            self.genes,
            pointers - pointers[0],
            shard.indices[part].astype(np.int64),
            shard.values[part].astype(np.float64),
            labels,
        )

    def summary(self) -> CellSummary:
        """The sums over the cells of each sample, in stored order; the large tables are mapped, not read."""
        stored = self._stored
        place = {name: i for i, name in enumerate(self.cell_types)}
        groups = [group for sample in stored for group in sample.groups]
        names = dict.fromkeys(name for sample in stored for name in sample.numbers)
        sums = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in SUMS}
        return CellSummary(
            self.cell_types,
            self.genes,
            np.cumsum([0, *(len(sample.groups) for sample in stored)]),
            np.array([place[name] for name, _ in groups], dtype=np.int64),
            np.array([n for _, n in groups], dtype=np.float64),
            np.arange(len(groups)),
            np.arange(len(stored)),
            numbers={name: _numbers([sample.numbers.get(name) for sample in stored]) for name in names},
            **sums,
        )

    def measured(self) -> MeasuredCells:
        """All samples, summarised and to be read, as `features.cohort.to_patients` takes them."""
        return MeasuredCells(self.samples, self.summary(), self.bags())

    def batches(
        self,
        batch_size: int = 512,
        block: int = 64,
        seed: int | np.random.Generator = 0,
        genes: Sequence[str] | None = None,
    ) -> Iterator[CellBatch]:
        """Every cell once, in shuffled batches; the last one may be smaller.

        Args:
            batch_size: Cells of a batch.
            block: Neighbouring cells that are read together; 1 is a full shuffle, and slow.
            seed: Of the order, or a generator, which gives each epoch another order.
            genes: Only these, in this order; all if None. Genes the store lacks are never expressed.
        """
        return iter_batches(self, batch_size, block, seed, genes)

    def verify(self) -> None:
        """Compare the checksum of every file.

        Raises:
            StoreError: A file has changed since it was written.
        """
        for name, file in self.manifest.files.items():
            if sha256_of_file(self.folder / name) != file.sha256:
                msg = f"{self.folder}: {name} has changed since it was written; remove the folder and build it again"
                raise StoreError(msg)

    def inspect(self) -> list[SampleRow]:
        """What is stored of each sample, for a table."""
        return [SampleRow(s.sample_id, s.n_cells, s.n_values, dict(s.groups), dict(s.numbers)) for s in self._stored]


def _numbers(values: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def build(
    cells: Path,
    root: Path,
    card: CellsCard | None = None,
    processing: BaseModel | None = None,
    processor: Processor | None = None,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> CellStore:
    """The store of a file of cells under some processing: found if it is there and sound, otherwise built.

    Building reads the file once (and once before, for its checksum, unless that is known already), holds a block of it,
    or one sample when cells are processed, for each worker, and takes place beside: a store appears complete or not at
    all, and of two that build the same one, the later uses the other's. A store with files of the wrong size is built
    anew. Scattered samples and matrices in CSC form are read by a single worker.

    Args:
        cells: cells.h5ad or cells.zarr.
        root: Folder of all stores; made if need be. Only what this function writes may lie there.
        card: What the values and columns are; raw counts of genes if None. Columns that name one gene are added up.
        processing: How cells are processed (`features.cells.processing.CellProcessing`); part of the key. None stores
            all cells as they are.
        processor: What does so, if not `features.cells.processing.CellProcessor`: it turns each sample's cells, with
            canonical names of genes, into those that are stored, and gives numbers for the summary. Where its
            ``counts`` is False, it gives intensities. With several workers it is pickled.
        workers: Processes to share the work among. A script that uses more than one needs the usual
            ``if __name__ == "__main__":``.
        progress: Called with the cells done and the cells that have a sample.

    Raises:
        CellFileError: The file of cells cannot be read.
        StoreError: It changed meanwhile, a value is impossible, the disk is full, or a worker was killed.
        SequelaError: Whatever the processor has to say.
    """
    from features.cells.store_build import build_folder

    folder = build_folder(cells, root, card or CellsCard(), processing, processor, workers, progress)
    return CellStore.open(folder.parent, folder.name)


def inspect(root: Path) -> list[StoreRow]:
    """All stores under a root, for a table; damaged ones are named with what is wrong."""
    rows = []
    for folder in sorted(path for path in root.glob("*") if path.is_dir() and not path.name.startswith(".")):
        try:
            store = CellStore.open(root, folder.name)
        except StoreError as error:
            rows.append(StoreRow(folder.name, "", 0, 0, 0, 0, 0, "", str(error)))
            continue
        held = store.manifest
        rows.append(
            StoreRow(
                held.key,
                held.source,
                len(store.samples),
                store.n_cells,
                sum(row.n_values for row in store.inspect()),
                len(held.genes),
                sum(file.size_bytes for file in held.files.values()),
                held.processing,
                "",
            )
        )
    return rows
