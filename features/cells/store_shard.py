"""One shard of a feature store: cells of some samples in CSR form, mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.cells.store_files import Shard

IntArray = NDArray[np.int64]


class OpenShard:
    """The files of a shard, mapped into memory."""

    indptr: IntArray
    """(cells + 1,): values of cell i are ``indptr[i]:indptr[i + 1]``."""
    indices: NDArray[Any]
    """(values,): gene of each value, uint16, or uint32 beyond 65,536 genes."""
    values: NDArray[Any]
    """(values,): uint8, uint16, float32 or float64, whichever is the smallest that holds them."""
    starts: IntArray
    """(samples + 1,): first cell of each sample."""

    def __init__(self, folder: Path, shard: Shard, first_sample: int, type_of_code: IntArray) -> None:
        self.n_cells = sum(sample.n_cells for sample in shard.samples)
        self.indptr = _mapped(folder / "indptr", "int64")
        self.indices = _mapped(folder / "indices", shard.index_type)
        self.values = _mapped(folder / "values", shard.value_type)
        self._codes = _mapped(folder / "cell_type", "uint16")
        self._type_of_code = type_of_code
        self._first_sample = first_sample
        self.starts = np.cumsum([0, *(sample.n_cells for sample in shard.samples)])

    def sample_of(self, first: int, stop: int) -> IntArray:
        """Sample of each of the cells [first, stop), as the store numbers them."""
        return self._first_sample + np.searchsorted(self.starts, np.arange(first, stop), side="right") - 1

    def type_of(self, first: int, stop: int) -> IntArray:
        """Cell type of each of the cells [first, stop), as the store numbers them."""
        types: IntArray = self._type_of_code[self._codes[first:stop]]
        return types


def _mapped(path: Path, kind: str) -> NDArray[Any]:
    """A file as an array; plain, for slices of `np.memmap` are slow to make."""
    if not path.stat().st_size:
        return np.zeros(0, dtype=kind)
    return np.asarray(np.memmap(path, dtype=kind, mode="r")).view(np.ndarray)
