"""Cells for the fit of an encoder: shuffled batches of training patients, and cells of others, to stop early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.cells.embedding import Expression, expression_blocks, require_possible
from features.errors import SequelaError
from features.patients import IntArray, gather

Batch = NDArray[np.float32]
"""(cells, genes): raw counts, or intensities."""


class StoredCells(Protocol):
    """What is needed of a feature store: `features.cells.store.CellStore`."""

    def batches(
        self, batch_size: int, block: int, seed: int | np.random.Generator, genes: Sequence[str] | None
    ) -> Iterator[Any]:
        """Shuffled batches with ``dense()`` (cells, genes) and ``sample`` (cells,)."""


@dataclass(frozen=True, slots=True)
class CellStream:
    """Batches of cells over given genes, as often as they are asked for."""

    genes: tuple[str, ...]
    counts: bool
    patients: tuple[str, ...]
    """All whose cells are read, held out or not."""
    training: Callable[[np.random.Generator], Iterable[Batch]]
    """One epoch, in the order that the generator gives."""
    held_out: Callable[[], Iterable[Batch]]
    """Cells of patients that are not in training, always the same."""

    @classmethod
    def of_bags(
        cls,
        bags: Sequence[CellBag],
        patient_id: Sequence[str],
        genes: Sequence[str],
        *,
        counts: bool,
        held_out_share: float = 0.15,
        batch_cells: int = 512,
        seed: int = 0,
    ) -> CellStream:
        """Cells in memory, one bag a sample.

        Args:
            bags: The samples.
            patient_id: (samples,): whose they are.
            genes: The genes to encode; absent ones are not expressed.
            counts: Whether values are raw counts, or intensities.
            held_out_share: Share of the patients that is held out, at least one.
            batch_cells: Cells of a batch.
            seed: Of the choice of patients.

        Raises:
            SequelaError: Fewer than two patients have cells, or a value is impossible.
        """
        filled = [i for i, bag in enumerate(bags) if len(bag)]
        patients = [str(patient_id[i]) for i in filled]
        held = hold_out(patients, held_out_share, seed)
        split = [
            [bags[i] for i, p in zip(filled, patients, strict=True) if (p in held) == out] for out in (False, True)
        ]
        fitted, stop = (_Cells.of(part, genes, counts=counts) for part in split)
        return cls(
            tuple(genes),
            counts,
            tuple(sorted(set(patients))),
            lambda rng: fitted.batches(rng.permutation(len(fitted)), batch_cells),
            lambda: stop.batches(np.arange(len(stop)), batch_cells),
        )

    @classmethod
    def of_store(
        cls,
        store: StoredCells,
        patient_of_sample: Sequence[str | None],
        genes: Sequence[str],
        *,
        counts: bool,
        held_out_share: float = 0.15,
        batch_cells: int = 512,
        block: int = 64,
        seed: int = 0,
    ) -> CellStream:
        """Cells on disk, streamed.

        Args:
            store: The feature store.
            patient_of_sample: (samples of the store,): the training patient of each; None keeps a sample out, as those
                of test patients must be.
            genes: See `of_bags`, as all that follows.
            counts: See `of_bags`.
            held_out_share: See `of_bags`.
            batch_cells: Cells that are read at once; a batch has fewer where samples are kept out.
            block: Neighbouring cells that are read together.
            seed: Of the choice of patients.

        Raises:
            SequelaError: Fewer than two patients.
        """
        patients = [name for name in patient_of_sample if name is not None]
        held = hold_out(patients, held_out_share, seed)
        role = np.array([-1 if name is None else int(name in held) for name in patient_of_sample])

        def read(rng: int | np.random.Generator, wanted: int) -> Iterator[Batch]:
            for batch in store.batches(batch_cells, block, rng, genes):
                chosen = role[batch.sample] == wanted
                if chosen.any():
                    yield np.asarray(batch.dense()[chosen], dtype=np.float32)

        return cls(tuple(genes), counts, tuple(sorted(set(patients))), lambda rng: read(rng, 0), lambda: read(seed, 1))

    @classmethod
    def of_matrices(
        cls,
        training: Callable[[np.random.Generator], Iterable[Any]],
        held_out: Callable[[], Iterable[Any]],
        patients: Sequence[str],
        genes: Sequence[str],
        *,
        counts: bool,
    ) -> CellStream:
        """Cells from anything that yields scipy's CSR matrices (cells, genes); see the fields of `CellStream`."""
        return cls(
            tuple(genes),
            counts,
            tuple(sorted(set(patients))),
            lambda rng: (batch.astype(np.float32).toarray() for batch in training(rng)),
            lambda: (batch.astype(np.float32).toarray() for batch in held_out()),
        )


def hold_out(patients: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """Some of the patients, at least one and not all.

    Raises:
        SequelaError: There are fewer than two.
    """
    names = sorted(set(patients))
    if len(names) < 2:
        msg = f"cell encoder: cells of two patients or more are needed, one to stop early; there are {len(names)}"
        raise SequelaError(msg)
    n = min(max(round(share * len(names)), 1), len(names) - 1)
    return frozenset(np.random.default_rng(seed).permutation(names)[:n].tolist())


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of several samples over common genes."""

    indptr: IntArray
    values: Expression
    n_genes: int

    def __len__(self) -> int:
        return self.values.n_cells

    @classmethod
    def of(cls, bags: Sequence[CellBag], genes: Sequence[str], *, counts: bool) -> _Cells:
        for bag in bags:
            require_possible(bag, counts=counts)
        parts = [part for bag in bags for part in expression_blocks(bag, genes, counts=False, cells_at_once=len(bag))]
        values = Expression.joined(parts)
        return cls(np.searchsorted(values.cell, np.arange(values.n_cells + 1)), values, len(genes))

    def batches(self, order: IntArray, batch_cells: int) -> Iterator[Batch]:
        for start in range(0, len(order), batch_cells):
            cells = order[start : start + batch_cells]
            picked, indptr = gather(self.indptr, cells)
            table = np.zeros((len(cells), self.n_genes), dtype=np.float32)
            row = np.repeat(np.arange(len(cells)), np.diff(indptr))
            table[row, self.values.column[picked]] = self.values.value[picked]
            yield table
