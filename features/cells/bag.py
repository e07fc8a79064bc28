"""All cells of one sample: the input of whatever looks at single cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

UNLABELLED = "unlabelled"
"""Cell type of cells that carry no label."""


@dataclass(frozen=True, slots=True)
class CellBag:
    """All cells of one sample: a sparse matrix (cells, genes) in CSR form."""

    genes: tuple[str, ...]
    indptr: NDArray[np.int64]
    """(cells + 1,): values of cell i are ``indptr[i]:indptr[i + 1]``."""
    indices: NDArray[np.int64]
    """(values,): gene of each value."""
    values: NDArray[np.float64]
    """(values,): raw counts or declared intensities."""
    cell_type: NDArray[np.object_]
    """(cells,): label of each cell, `UNLABELLED` where there is none."""

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def renamed(self, names: Sequence[str]) -> CellBag:
        """The same cells over other names of genes; columns that come to have one name are added up.

        Args:
            names: One for each column, in their order; the new columns stand in the order in which names come first.

        Raises:
            ValueError: Names and columns differ in number.
        """
        if len(names) != len(self.genes):
            msg = f"{len(names)} names for {len(self.genes)} columns"
            raise ValueError(msg)
        place = {name: i for i, name in enumerate(dict.fromkeys(names))}
        if len(place) == len(names):
            return replace(self, genes=tuple(names))
        gene = np.array([place[name] for name in names], dtype=np.int64)[self.indices]
        cell = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        key, entry = np.unique(cell * len(place) + gene, return_inverse=True)
        values = np.bincount(entry, weights=self.values, minlength=len(key)).astype(np.float64)
        indptr = np.searchsorted(key, np.arange(len(self) + 1) * len(place))
        return replace(self, genes=tuple(place), indptr=indptr, indices=key % len(place), values=values)


@dataclass(frozen=True, slots=True)
class Bags:
    """The cells of samples, each read when it is asked for."""

    read: Callable[[int], CellBag]
    """Reads one of the stored samples by its number."""
    sample: NDArray[np.int64]
    """(samples,): number of each sample in the store."""

    @classmethod
    def of(cls, bags: Sequence[CellBag | None]) -> Bags:
        """Bags that are in memory already; None for samples without cells, which nobody asks for."""
        held = [_NO_CELLS if bag is None else bag for bag in bags]
        return cls(held.__getitem__, np.arange(len(held)))

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, i: int) -> CellBag:
        return self.read(int(self.sample[i])) if self.sample[i] >= 0 else _NO_CELLS

    def take(self, samples: NDArray[np.int64]) -> Bags:
        """The given samples, in that order; samples may repeat, and -1 gives a sample without cells."""
        return Bags(self.read, np.where(samples >= 0, np.append(self.sample, -1)[samples], -1))


_NO_CELLS = CellBag((), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, dtype=object))
