"""Activities of pathways as markers: one for each set, material and cell type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.cells.bulks import measured_genes, type_bulks
from features.cells.gene_sets import FEWEST_GENES, GeneSet, GeneSets
from features.cells.pathways import activities
from features.cells.pseudobulk import MINIMUM_CELLS, log_counts_per_million
from features.errors import SequelaError
from features.patients import FloatArray, Patients
from features.schema import CellsCard

PATHWAYS = "pathway"
"""Second part of the names of these markers: material, ``pathway``, set, cell type."""


@dataclass(frozen=True, slots=True)
class PathwayMarkers:
    """What became of gene sets."""

    sets: GeneSets
    """Those measured, with the genes measured."""
    n_left_out: int
    """Sets of which fewer than `FEWEST_GENES` genes were measured, or every gene."""
    columns: dict[str, FloatArray]
    """(patients,) each: activity, NaN where there were too few cells."""
    set_of: dict[str, GeneSet]
    """By column."""

    @property
    def said(self) -> str:
        """What was used, in words."""
        return (
            f"Pathways: {len(self.sets.sets)} sets of {self.sets.source}; {self.n_left_out} of which fewer than "
            f"{FEWEST_GENES} genes were measured are left out. Activity is decoupler's univariate linear model on "
            "log pseudobulks."
        )


def pathway_markers(patients: Patients, sets: GeneSets, card: CellsCard | None) -> PathwayMarkers:
    """Activity of each set in the pseudobulk of each cell type in the latest sample of each material.

    Activities look at one patient's genes at a time: nothing is learnt from other patients.

    Args:
        patients: Seen from the landmark.
        sets: Any sets.
        card: What the cells' values are.

    Raises:
        SequelaError: The cells hold no counts of genes, or fewer than `FEWEST_GENES` genes of every set are there.
    """
    genes = require_counts(patients, card, "--pathways")
    measured = sets.measured(genes)
    if not measured.sets:
        msg = (
            f"--pathways {sets.source}: of no set {FEWEST_GENES} genes are measured; name sets of the genes that "
            "are, by symbols or Ensembl ids"
        )
        raise SequelaError(msg)
    columns: dict[str, FloatArray] = {}
    set_of: dict[str, GeneSet] = {}
    for every in type_bulks(patients):
        bulk = every.with_cells(MINIMUM_CELLS)
        activity = activities(log_counts_per_million(bulk.total), genes, measured)
        for j, one in enumerate(measured.sets):
            column = np.full(len(patients), np.nan)
            column[bulk.rows] = activity[:, j]
            if np.isfinite(column).any():
                name = f"{bulk.material}:{PATHWAYS}:{one.name}:{bulk.cell_type}"
                columns[name], set_of[name] = column, one
    return PathwayMarkers(measured, len(sets.sets) - len(measured.sets), columns, set_of)


def require_counts(patients: Patients, card: CellsCard | None, option: str) -> tuple[str, ...]:
    """Genes of the panel.

    Raises:
        SequelaError: There are no cells, or their values are no counts of genes.
    """
    genes = measured_genes(patients)
    if card is None or not genes:
        msg = f"{option}: the cohort has no cells by the landmark; leave it out, or choose a later --landmark"
        raise SequelaError(msg)
    if card.values != "counts" or card.genes != "genes":
        msg = (
            f"{option}: needs raw counts of genes, and cells of this cohort hold {card.values} of {card.genes} "
            "(cohort.yaml, cells); leave it out"
        )
        raise SequelaError(msg)
    return genes
