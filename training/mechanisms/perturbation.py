"""Patients in whose cells the genes of a program are expressed less or more: what a model would make of that.

This asks the model, and not the body. Other genes stay as they are, where in a cell they would follow; and cells are
made that nobody has seen: `strangeness` says how many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from features.cells.bag import CellBag
from features.cells.summary import CellSummary, summarise
from features.patients import Patients, Samples
from training.mechanisms.occlusion import CellState, edited

SILENCED = float("-inf")
"""As `Perturbation.log2_fold`: no cell expresses the program."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A change of the expression of some genes in the cells of a state."""

    program: str
    """Its name."""
    genes: tuple[str, ...]
    state: CellState
    log2_fold: float
    """The values of the genes are multiplied by 2 to this: counts before they are normalised to the cell's sum."""

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


def perturbed(patients: Patients, change: Perturbation, *, counts: bool) -> Patients:
    """The same patients with changed cells, and with the sums over them that follow.

    Args:
        patients: With their cells.
        change: Applied to all samples of its material.
        counts: Whether values are raw counts, or intensities.
    """
    samples = patients.samples
    if samples is None or samples.bags is None:
        return patients
    bags = edited(samples.bags, samples.material == change.state.material, change.of)
    summary = _summary(replace(samples, bags=bags), counts=counts)
    return replace(patients, samples=replace(samples, bags=bags, summary=summary))


def _summary(samples: Samples, *, counts: bool) -> CellSummary:
    """Of the cells as they are in the bags; samples without cells stay without."""
    assert samples.bags is not None  # noqa: S101 - for the type checker
    before = samples.summary
    numbers = {name: before.number(name) for name in before.numbers}
    parts = [
        summarise(samples.bags[i], counts=counts, numbers={name: float(of[i]) for name, of in numbers.items()})
        if before.offsets[i] < before.offsets[i + 1]
        else CellSummary.of_no_cells(1)
        for i in range(len(before))
    ]
    return CellSummary.concatenate(parts) if parts else before
