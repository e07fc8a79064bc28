"""Patients without the cells of a state: what a model makes of the others tells what these carried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import Bags, CellBag
from features.cells.quality import select_cells
from features.cells.summary import CellSummary
from features.patients import Patients


@dataclass(frozen=True, slots=True)
class CellState:
    """Cells of one type in samples of one material; of all types where `cell_type` is None."""

    material: str
    cell_type: str | None

    @property
    def name(self) -> str:
        """E.g. ``blood:NK``, ``blood`` for all its cells."""
        return self.material if self.cell_type is None else f"{self.material}:{self.cell_type}"

    def of(self, bag: CellBag) -> NDArray[np.bool_]:
        """(cells,): which cells of a sample of the material belong to it."""
        if self.cell_type is None:
            return np.ones(len(bag), dtype=bool)
        found: NDArray[np.bool_] = bag.cell_type == self.cell_type
        return found


def states_of(patients: Patients, materials: tuple[str, ...], fewest_patients: int) -> tuple[CellState, ...]:
    """All cells of each material, then each of its types, where so many patients have such cells by their landmark.

    Args:
        patients: With the summaries of their cells.
        materials: In this order.
        fewest_patients: Who have any such cell.
    """
    if patients.samples is None:
        return ()
    types = (None, *patients.samples.summary.cell_types)
    every = [CellState(material, cell_type) for material in materials for cell_type in types]
    ids = patients.patient_id.astype(str)
    return tuple(one for one in every if len(np.unique(ids[rows_with(patients, one)])) >= fewest_patients)


def rows_with(patients: Patients, state: CellState) -> NDArray[np.int64]:
    """The rows in which a sample of the state's material has such cells by the landmark."""
    samples = patients.samples
    if samples is None:
        return np.zeros(0, dtype=np.int64)
    row, by_type = samples.row, samples.summary.cells_by_type
    wanted = [state.cell_type in (None, name) for name in samples.summary.cell_types]
    known = (samples.material == state.material) & (samples.day <= patients.landmark_day[row])
    return np.unique(row[known & (by_type[:, wanted].sum(axis=1) > 0)])


def without(patients: Patients, state: CellState) -> Patients:
    """The same patients, as if no cell of the state had been measured: neither as a cell nor in a sum over cells."""
    samples = patients.samples
    if samples is None:
        return patients
    at = samples.material == state.material
    kept = _kept_groups(samples.summary, at, state.cell_type)
    bags = None if samples.bags is None else edited(samples.bags, at, lambda bag: select_cells(bag, ~state.of(bag)))
    return replace(patients, samples=replace(samples, summary=kept, bags=bags))


def edited(bags: Bags, at: NDArray[np.bool_], edit: Callable[[CellBag], CellBag]) -> Bags:
    """Bags that are read as before, and edited where `at` (samples,) says so; what is one sample stays one."""
    n_stored = int(bags.sample.max(initial=-1)) + 1

    def read(number: int) -> CellBag:
        return bags.read(number) if number < n_stored else edit(bags.read(number - n_stored))

    return Bags(read, np.where(at & (bags.sample >= 0), bags.sample + n_stored, bags.sample))


def _kept_groups(summary: CellSummary, at: NDArray[np.bool_], cell_type: str | None) -> CellSummary:
    """The summary less the groups of a type, of all types where it is None, in some of the samples."""
    sample = np.repeat(np.arange(len(summary)), np.diff(summary.offsets))
    hit = at[sample]
    if cell_type is not None:
        hit = hit & (np.array(summary.cell_types, dtype=object)[summary.cell_type] == cell_type)
    left = np.bincount(sample[~hit], minlength=len(summary))
    kept = np.flatnonzero(~hit)
    return replace(
        summary,
        offsets=np.concatenate([[0], np.cumsum(left)]).astype(np.int64),
        cell_type=summary.cell_type[kept],
        n_cells=summary.n_cells[kept],
        group=summary.group[kept],
        sample=np.where(left > 0, summary.sample, -1),
    )
