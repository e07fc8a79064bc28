"""Shuffled mini-batches of row numbers, shared out where several processes train together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from training.loops.processes import n_processes, rank


class RowBatch(NamedTuple):
    """What this process sees of a mini-batch."""

    rows: Tensor
    """(rows,): row numbers."""
    per_row: float
    """What each row counts in the loss of this process, so that the mean over processes is the mean over the batch."""

    @classmethod
    def whole(cls, rows: Tensor) -> Self:
        """A batch that one process sees as a whole."""
        return cls(rows, 1.0 / max(1, len(rows)))


class RowBatches(IterableDataset[RowBatch]):
    """Mini-batches; what an epoch sees in which order depends on seed and epoch alone, not on how many train."""

    def __init__(self, rows: NDArray[np.int64], batch_rows: int, seed: int, *, shared_out: bool = True) -> None:
        """Batches of at most `batch_rows` rows, all of about one size; not `shared_out`: whole in every process."""
        self.rows, self.batch_rows, self.seed, self.epoch = rows, batch_rows, seed, 0
        self.shared_out = shared_out

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_rows)

    def __iter__(self) -> Iterator[RowBatch]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)
        self.epoch += 1
        for batch in np.array_split(order, len(self)):
            if self.shared_out:
                yield RowBatch(torch.as_tensor(share(batch)), n_processes() / max(1, len(batch)))
            else:
                yield RowBatch.whole(torch.as_tensor(batch))


def share(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """This process's part of some rows."""
    return np.array_split(rows, n_processes())[rank()]
