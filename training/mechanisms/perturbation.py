"""Patients in whose cells the genes of a program are expressed less or more: what a model would make of that.

This asks the model, and not the body. Other genes stay as they are, where in a cell they would follow; and cells are
made that nobody has seen: `training.mechanisms.reading` says how many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from features.cells.bag import CellBag
from features.patients import Patients
from training.mechanisms.changed_cells import edited
from training.mechanisms.states import CellState

SILENCED = float("-inf")
"""As `Perturbation.log2_fold`: no cell expresses the program."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A change of the raw counts of some genes in the cells of a state."""

    program: str
    """Its name."""
    genes: tuple[str, ...]
    state: CellState
    log2_fold: float
    """The counts of the genes are multiplied by 2 to this, before they are normalised to the cell's sum."""

    @property
    def how(self) -> str:
        """``silenced``, or e.g. ``×2``."""
        return "silenced" if self.log2_fold == SILENCED else f"×{2.0**self.log2_fold:g}"

    @property
    def name(self) -> str:
        """E.g. ``exhaustion ×2 in blood:NK``, ``exhaustion silenced in blood``."""
        return f"{self.program} {self.how} in {self.state.name}"

    def of(self, bag: CellBag) -> CellBag:
        """The cells of a sample of the material, changed."""
        wanted = set(self.genes)
        gene = np.array([name in wanted for name in bag.genes], dtype=bool)
        cell = np.repeat(self.state.of(bag), np.diff(bag.indptr))
        return replace(bag, values=np.where(gene[bag.indices] & cell, bag.values * 2.0**self.log2_fold, bag.values))


def perturbed(patients: Patients, change: Perturbation, *, sums: bool) -> Patients:
    """The same patients with changed cells.

    Args:
        patients: With their cells, as raw counts.
        change: Applied to all samples of its material.
        sums: Also make the sums over the cells anew.
    """
    samples = patients.samples
    if samples is None or samples.bags is None:
        return patients
    read = samples.bags.read
    at = (samples.material == change.state.material) & (np.diff(samples.summary.offsets) > 0)
    return edited(patients, at, lambda number: change.of(read(number)), counts=True, sums=sums)
