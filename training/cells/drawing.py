"""The cells of training rows: prepared once, drawn afresh each epoch, dropped out so that the clinic learns alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from training.config import AttentionConfig, SetTransformerConfig
from training.loops.batches import share
from training.loops.processes import n_processes
from training.models.cell_input import CellInput, PreparedCells
from training.models.predictor import KnownSamples
from training.models.sample_layout import CellBatch, SampleGrid, SampleLayout

BagConfig = AttentionConfig | SetTransformerConfig
HELD_BYTES = 2 << 30
"""Cells kept in memory between epochs; those of further samples are read again each time."""


class Step(NamedTuple):
    """What a training step sees: rows, and the cells drawn for them."""

    rows: Tensor
    batch: CellBatch
    grid: SampleGrid
    per_row: float = 1.0
    """What each row counts in the loss of this process: see `training.loops.batches.RowBatch`."""


@dataclass
class CellSource:
    """The cells of the training rows: prepared when first asked for, and kept while there is room."""

    cells: CellInput
    samples: KnownSamples
    layout: SampleLayout
    held: dict[int, PreparedCells] = field(default_factory=dict)
    held_bytes: int = 0

    def prepared(self, number: int) -> PreparedCells:
        """One of the different samples."""
        found = self.held.get(number)
        if found is None:
            found = self.cells.prepare(self.samples.bags[int(self.layout.first[number])])
            if self.held_bytes + found.n_bytes <= HELD_BYTES:
                self.held[number] = found
                self.held_bytes += found.n_bytes
        return found

    def first_cells(self, number: int, n_cells: int) -> NDArray[np.float32]:
        """(cells, inputs): the first cells of one of the different samples."""
        found = self.prepared(number)
        return found.rows(np.arange(min(n_cells, len(found))), len(self.cells.genes))

    def step(self, rows: NDArray[np.int64], n_cells: int, seed: tuple[int, ...] | None, dropout: float = 0.0) -> Step:
        """Rows with at most `n_cells` cells of each of their samples.

        Args:
            rows: Numbers of training rows.
            n_cells: Cells of a sample.
            seed: Of the cells of each sample, and of what each row loses, whatever else is in the step; None: the first
                cells in their own order, which is always the same.
            dropout: Share of the rows that lose all cells, and of samples that the others lose.
        """
        grid = self.layout.grid(rows, torch.float32)
        if seed is not None and dropout:
            n_samples = grid.known.shape[1]
            drawn = [np.random.default_rng([*seed, 0, row]).random(1 + n_samples) for row in rows.tolist()]
            lost = np.array(drawn).reshape(len(rows), 1 + n_samples)
            kept = (lost[:, :1] >= dropout) & (lost[:, 1:] >= dropout)
            grid = grid._replace(known=grid.known & torch.as_tensor(kept))
        slot, known = grid.slot.numpy(), grid.known.numpy()
        numbers, place = np.unique(slot[known], return_inverse=True)
        new_slot = np.zeros_like(slot)
        new_slot[known] = place
        batch = self._drawn(numbers, n_cells, seed)
        return Step(torch.as_tensor(rows), batch, grid._replace(slot=torch.as_tensor(new_slot)))

    def _drawn(self, numbers: NDArray[np.int64], n_cells: int, seed: tuple[int, ...] | None) -> CellBatch:
        tables = []
        for number in numbers.tolist():
            found = self.prepared(number)
            n = min(n_cells, len(found))
            chosen = np.arange(n)
            if seed is not None:
                chosen = np.random.default_rng([*seed, 1, number]).choice(len(found), n, replace=False)
            tables.append(found.rows(chosen, len(self.cells.genes)))
        longest = max((len(table) for table in tables), default=1)
        cells = np.zeros((max(len(tables), 1), longest, self.cells.width), dtype=np.float32)
        known = np.zeros(cells.shape[:2], dtype=bool)
        for i, table in enumerate(tables):
            cells[i, : len(table)] = table
            known[i, : len(table)] = True
        material = self.layout.material[numbers] if len(numbers) else np.zeros(1, dtype=np.int64)
        return CellBatch(torch.as_tensor(cells), torch.as_tensor(known), torch.as_tensor(material))


class Epochs(IterableDataset[Step]):
    """Steps of some patients each, shared out where several processes train together.

    What an epoch draws depends on seed and epoch alone, and is drawn on the CPU.
    """

    def __init__(
        self, source: CellSource, patient: NDArray[np.int64], config: BagConfig, n_cells: int, seed: int
    ) -> None:
        """`patient` (rows,) numbers each row's patient: the rows of one share a step, and the cells drawn for it."""
        self.source, self.config, self.n_cells, self.seed, self.epoch = source, config, n_cells, seed, 0
        by_patient = np.argsort(patient, kind="stable")
        self.rows_of = np.split(by_patient, np.cumsum(np.bincount(patient))[:-1])

    def __iter__(self) -> Iterator[Step]:
        seed = (self.seed, self.epoch)
        self.epoch += 1
        for rows in self._steps(np.random.default_rng(seed).permutation(len(self.rows_of))):
            own = self.source.step(share(rows), self.n_cells, seed, self.config.modality_dropout)
            yield own._replace(per_row=n_processes() / len(rows))

    def scored(self) -> Iterator[Step]:
        """All rows of this process, with the same cells each time."""
        for rows in self._steps(np.arange(len(self.rows_of))):
            yield self.source.step(share(rows), self.n_cells, None)

    def _steps(self, patients: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        order = [self.rows_of[i] for i in patients.tolist()]
        n_steps = max(1, round(sum(map(len, order)) / self.config.batch_rows))
        for part in np.array_split(np.arange(len(order)), min(n_steps, len(order))):
            yield np.concatenate([order[i] for i in part.tolist()])
