"""Shuffled mini-batches of row numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset


class RowBatches(IterableDataset[Tensor]):
    """Mini-batches of row numbers (rows of the batch,); the order of an epoch depends on seed and epoch alone."""

    def __init__(self, rows: NDArray[np.int64], batch_rows: int, seed: int) -> None:
        """Batches of at most `batch_rows` rows, all of about one size."""
        self.rows, self.batch_rows, self.seed, self.epoch = rows, batch_rows, seed, 0

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_rows)

    def __iter__(self) -> Iterator[Tensor]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)
        self.epoch += 1
        yield from map(torch.as_tensor, np.array_split(order, len(self)))
