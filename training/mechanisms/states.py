"""States of cells: a type in samples of a material, and who has such cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
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
