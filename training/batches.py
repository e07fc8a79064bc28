"""Shuffled mini-batches of row numbers, alike however many processes share the work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import IterableDataset


class RowBatch(NamedTuple):
    """This process's part of a mini-batch."""

    rows: Tensor
    """(rows of this process,): row numbers."""
    scale: float
    """Processes / rows of the whole mini-batch: Σ loss(rows) · scale is the mean loss of the whole mini-batch, once DDP
    has averaged over processes."""


class RowBatches(IterableDataset[RowBatch]):
    """The mini-batches of one epoch after another; their order depends on seed and epoch alone.

    Under DDP every process draws the same order and takes its own rows of each mini-batch, so that the steps are those
    of a single process, up to the rounding of sums.
    """

    def __init__(self, n_rows: int, batch_rows: int, seed: int) -> None:
        """Mini-batches of at most `batch_rows` of `n_rows` rows, all of about one size."""
        self.n_rows, self.batch_rows, self.seed, self.epoch = n_rows, batch_rows, seed, 0

    def __len__(self) -> int:
        return -(-self.n_rows // self.batch_rows)

    def __iter__(self) -> Iterator[RowBatch]:
        rank, world = process_of_processes()
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n_rows)
        self.epoch += 1
        for whole in np.array_split(order, len(self)):
            yield RowBatch(torch.as_tensor(whole[rank::world]), world / len(whole))


def process_of_processes() -> tuple[int, int]:
    """Number of this process among those that train together, and how many they are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
