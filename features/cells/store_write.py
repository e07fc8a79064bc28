"""Writing one shard of a feature store: cells in CSR form as they come, and the sums over the cells of each sample."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from features.cells.matrix import Rows, Values
from features.cells.store_files import SUMS, Shard, StoredFile, StoredSample, StoreError
from features.cells.summary import TARGET_SUM

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ValueType = Literal["uint8", "uint16", "float32", "float64"]

VALUE_TYPES: tuple[ValueType, ...] = ("uint8", "uint16", "float32", "float64")
"""From small to large; each holds what those before it hold."""
CELLS = ("indptr", "indices", "values", "cell_type")
_PIECE = 1 << 20


@dataclass(slots=True)
class Sums:
    """Sums over the cells of one sample, as `features.cells.summary.summarise` makes them, gathered part by part."""

    n_types: int
    n_genes: int
    counts: bool
    n_cells: IntArray = field(init=False)
    total: FloatArray = field(init=False)
    lognorm: FloatArray = field(init=False)
    normalised: FloatArray = field(init=False)
    squared: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.n_cells = np.zeros(self.n_types, dtype=np.int64)
        self.total, self.lognorm = np.zeros((2, self.n_types, self.n_genes))
        self.normalised, self.squared = np.zeros((2, 1, self.n_genes))

    def add(self, rows: Rows, cell_type: IntArray) -> None:
        """Add some cells, of which `cell_type` numbers the types from 0."""
        lengths = np.diff(rows.indptr)
        values = rows.values.astype(np.float64)
        flat = np.repeat(cell_type * self.n_genes, lengths)
        flat += rows.indices
        self.n_cells += np.bincount(cell_type, minlength=self.n_types)
        self.total += self._by_type(flat, values)
        parts = (values, rows.indices, rows.indptr.astype(np.int32))
        by_gene = scipy.sparse.csc_matrix(parts, shape=(self.n_genes, len(rows)))  # cells are its columns
        values = by_gene.data
        scale = np.ones(len(rows))
        if self.counts:
            depth = by_gene.T @ np.ones(self.n_genes)
            scale = np.divide(TARGET_SUM, depth, out=np.zeros_like(depth), where=depth > 0)
            values *= np.repeat(scale, lengths)  # in place, so that `by_gene` is normalised
        self.normalised[0] += by_gene @ np.ones(len(rows))
        if self.counts:
            self.lognorm += self._by_type(flat, np.log1p(values))
        else:
            self.lognorm += self._by_type(flat, values)
        np.square(values, out=values)
        self.squared[0] += by_gene @ np.ones(len(rows))

    def _by_type(self, flat: IntArray, values: FloatArray) -> FloatArray:
        sums = np.bincount(flat, weights=values, minlength=self.n_types * self.n_genes)
        return sums.astype(np.float64, copy=False).reshape(self.n_types, self.n_genes)


class Stream:
    """A file that is written from front to back, with its checksum."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb", buffering=0)
        self._digest = hashlib.sha256()
        self._size = 0

    def add(self, values: Values) -> None:
        """Append an array's bytes."""
        view = np.ascontiguousarray(values).data.cast("B") if values.size else memoryview(b"")
        self._digest.update(view)
        self._size += len(view)
        while view:
            view = view[self._file.write(view) or 0 :]

    def close(self) -> StoredFile:
        """Bring what was written to the disk, and say what it was."""
        os.fsync(self._file.fileno())
        self._file.close()
        return StoredFile(size_bytes=self._size, sha256=self._digest.hexdigest())

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()


class ValueStream:
    """A file of values in the smallest type that holds them all; it is written anew when a larger one is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.level = 0
        self.stream = Stream(path)

    @property
    def value_type(self) -> ValueType:
        """Type of the values."""
        return VALUE_TYPES[self.level]

    def add(self, values: Values) -> None:
        """Append values."""
        level = self.level
        while (narrow := _lossless(values, VALUE_TYPES[level])) is None:
            level += 1
        if level > self.level:
            self._widen(level)
        self.stream.add(narrow)

    def _widen(self, level: int) -> None:
        old = np.dtype(self.value_type)
        self.stream.abandon()
        narrower = self.path.with_suffix(".narrow")
        self.path.rename(narrower)
        self.stream, self.level = Stream(self.path), level
        with narrower.open("rb") as file:
            while piece := file.read(_PIECE * old.itemsize):
                self.stream.add(np.frombuffer(piece, dtype=old).astype(self.value_type))
        narrower.unlink()


def _lossless(values: Values, to: ValueType) -> Values | None:
    """The values in another type, None where it changes one of them."""
    if values.dtype == to or to == VALUE_TYPES[-1]:
        return values.astype(to, copy=False)
    if not len(values):
        return np.zeros(0, dtype=to)
    if to in {"uint8", "uint16"} and not (values.min() >= 0 and values.max() <= np.iinfo(to).max):
        return None
    with np.errstate(over="ignore"):
        converted = values.astype(to)
    return converted if (converted == values).all() else None


class ShardWriter:
    """Writes the samples of one shard, each once, in order. Use it as a context manager."""

    def __init__(self, folder: Path, n_genes: int, *, counts: bool) -> None:
        folder.mkdir()
        self._folder, self._n_genes, self._counts = folder, n_genes, counts
        self._index_type: Literal["uint16", "uint32"] = "uint16" if n_genes <= 1 << 16 else "uint32"
        self._values = ValueStream(folder / "values")
        self._streams = {name: Stream(folder / name) for name in (*CELLS, *SUMS) if name != "values"}
        self._streams["indptr"].add(np.zeros(1, dtype=np.int64))
        self._codes: dict[str, int] = {}
        self._samples: list[StoredSample] = []
        self._n_values = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for stream in (self._values.stream, *self._streams.values()):
            stream.abandon()

    def add(
        self,
        sample_id: str,
        labels: NDArray[np.object_],
        parts: Iterator[Rows],
        numbers: Mapping[str, float],
    ) -> Iterator[int]:
        """Write a sample; gives the number of cells of each part once it is written, and is to be used up.

        Args:
            sample_id: The sample.
            labels: (cells,): their types.
            parts: Their values, some cells at a time.
            numbers: What else is known of the sample.

        Raises:
            StoreError: A value is not finite, or a count is negative.
            OSError: It cannot be written.
        """
        names, cell_type = np.unique(labels.astype(str), return_inverse=True)
        types = [str(name) for name in names]
        if len(self._codes) + len(types) > np.iinfo(np.uint16).max:
            msg = f"cells of sample {sample_id}: there are too many cell types, over 65,535; give fewer labels"
            raise StoreError(msg)
        codes = np.array([self._codes.setdefault(name, len(self._codes)) for name in types], dtype=np.uint16)
        sums = Sums(len(types), self._n_genes, self._counts)
        first, before = 0, self._n_values
        for rows in parts:
            own = cell_type[first : first + len(rows)]
            self._check(rows.values, sample_id)
            sums.add(rows, own)
            self._write(rows, codes[own])
            first += len(rows)
            yield len(rows)
        for name in SUMS:
            self._streams[name].add(getattr(sums, name))
        self._samples.append(
            StoredSample(
                sample_id=sample_id,
                n_cells=first,
                n_values=self._n_values - before,
                groups=tuple(zip(types, sums.n_cells.tolist(), strict=True)),
                numbers={name: float(value) if math.isfinite(value) else None for name, value in numbers.items()},
            )
        )

    def _check(self, values: Values, sample_id: str) -> None:
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        if not (math.isfinite(low) and math.isfinite(high)) or (self._counts and low < 0):
            rule = "every value must be finite, and every raw count at least 0"
            msg = f"cells of sample {sample_id}: {rule}; check the expression matrix"
            raise StoreError(msg)

    def _write(self, rows: Rows, codes: NDArray[np.uint16]) -> None:
        self._streams["indptr"].add(rows.indptr[1:] + self._n_values)
        self._streams["indices"].add(rows.indices.astype(self._index_type))
        self._streams["cell_type"].add(codes)
        self._values.add(rows.values)
        self._n_values += int(rows.indptr[-1])

    def close(self) -> tuple[Shard, dict[str, StoredFile]]:
        """Finish all files: what the shard holds, and its files by name.

        Raises:
            OSError: They cannot be written.
        """
        files = {name: stream.close() for name, stream in self._streams.items()}
        files["values"] = self._values.stream.close()
        shard = Shard(
            folder=self._folder.name,
            index_type=self._index_type,
            value_type=self._values.value_type,
            cell_types=tuple(self._codes),
            samples=tuple(self._samples),
        )
        return shard, files


def stack_sums(name: str, shards: list[Path], target: Path, shape: tuple[int, int]) -> StoredFile:
    """Put the sums of all shards one under the other into a .npy file, and remove theirs.

    Args:
        name: One of `SUMS`.
        shards: Folders of the shards, in order.
        target: The new file.
        shape: Rows and genes in all.

    Raises:
        OSError: It cannot be written.
    """
    header: dict[str, Any] = {"descr": "<f8", "fortran_order": False, "shape": shape}
    with target.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
    head = np.frombuffer(target.read_bytes(), dtype=np.uint8)
    stream = Stream(target)
    stream.add(head)
    for shard in shards:
        with (shard / name).open("rb") as file:
            while piece := file.read(_PIECE):
                stream.add(np.frombuffer(piece, dtype=np.uint8))
        (shard / name).unlink()
    return stream.close()
