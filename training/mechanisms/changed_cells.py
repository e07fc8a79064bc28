"""The same patients with other cells: those of a state from other patients, or edited one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import Bags, CellBag
from features.cells.quality import select_cells
from features.cells.summary import CellSummary, summarise
from features.patients import Patients, Samples
from training.mechanisms.states import CellState

Edit = Callable[[int], CellBag]
"""From the number of a stored sample to its cells, changed."""


def with_cells_of_others(
    patients: Patients, state: CellState, rng: np.random.Generator, *, counts: bool, sums: bool
) -> Patients:
    """The same patients, each sample's cells of a state being those of another sample of the material.

    Samples are put in a random circle, and each gets the cells of the next: nobody keeps his own, and what the samples
    are made of, all together, stays as it is. A sample without cells takes no part.

    Args:
        patients: With their cells.
        state: Whose cells.
        rng: Draws the circle.
        counts: Whether values are raw counts, or intensities.
        sums: Also make the sums over the cells anew; what else is known of a sample (clones, share of CAR-positive
            cells) stays.
    """
    samples = patients.samples
    if samples is None or samples.bags is None:
        return patients
    bags, has_cells = samples.bags, np.diff(samples.summary.offsets) > 0
    at = (samples.material == state.material) & has_cells
    circle = rng.permutation(np.unique(bags.sample[at]))
    donor = dict(zip(circle.tolist(), np.roll(circle, 1).tolist(), strict=True))

    def edit(number: int) -> CellBag:
        own, other = bags.read(number), bags.read(donor[number])
        return joined(select_cells(own, ~state.of(own)), select_cells(other, state.of(other)))

    return edited(patients, at, edit, counts=counts, sums=sums)


def edited(patients: Patients, at: NDArray[np.bool_], edit: Edit, *, counts: bool, sums: bool) -> Patients:
    """The same patients with changed cells in the samples where `at` (samples,) says so; see `with_cells_of_others`."""
    samples = patients.samples
    if samples is None or samples.bags is None:
        return patients
    bags = _edited(samples.bags, at, edit)
    changed = replace(samples, bags=bags)
    summary = _resummarised(changed, at, counts=counts) if sums else samples.summary
    return replace(patients, samples=replace(changed, summary=summary))


def joined(one: CellBag, other: CellBag) -> CellBag:
    """The cells of both, over the genes of either."""
    genes = tuple(dict.fromkeys((*one.genes, *other.genes)))
    place = {gene: i for i, gene in enumerate(genes)}
    moved = [np.array([place[gene] for gene in bag.genes], dtype=np.int64)[bag.indices] for bag in (one, other)]
    return CellBag(
        genes,
        np.concatenate([one.indptr, one.indptr[-1] + other.indptr[1:]]),
        np.concatenate(moved),
        np.concatenate([one.values, other.values]),
        np.concatenate([one.cell_type, other.cell_type]),
    )


def _edited(bags: Bags, at: NDArray[np.bool_], edit: Edit) -> Bags:
    """Bags that are read as before, and edited where `at` says so; what is one sample stays one."""
    n_stored = int(bags.sample.max(initial=-1)) + 1

    def read(number: int) -> CellBag:
        return bags.read(number) if number < n_stored else edit(number - n_stored)

    return Bags(read, np.where(at & (bags.sample >= 0), bags.sample + n_stored, bags.sample))


def _resummarised(samples: Samples, at: NDArray[np.bool_], *, counts: bool) -> CellSummary:
    """Summaries of the cells as they are now, where they changed; each different sample is read once."""
    assert samples.bags is not None  # noqa: S101 - for the type checker
    before = samples.summary
    parts, place = [before], np.arange(len(before))
    of_number: dict[int, int] = {}
    for i in np.flatnonzero(at).tolist():
        number = int(samples.bags.sample[i])
        if number not in of_number:
            numbers = {name: float(before.number(name)[i]) for name in before.numbers}
            of_number[number] = len(before) + len(of_number)
            bag = samples.bags[i]
            parts.append(summarise(bag, counts=counts, numbers=numbers) if len(bag) else CellSummary.of_no_cells(1))
        place[i] = of_number[number]
    return CellSummary.concatenate(parts).take(place)
