"""Pseudobulks over all genes: the cells of one type in the latest sample of a material, summed by patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.cells.samples import latest_samples
from features.patients import FloatArray, IntArray, Patients


@dataclass(frozen=True, slots=True)
class TypeBulk:
    """The cells of one type in the latest sample of a material that each patient has by the landmark."""

    material: str
    cell_type: str
    rows: IntArray
    """(patients with a sample,): their positions."""
    n_cells: FloatArray
    """(patients with a sample,): of this type; perhaps 0."""
    total: FloatArray
    """(patients with a sample, genes): sums of counts, or of intensities."""

    def with_cells(self, least: int) -> TypeBulk:
        """Only patients with at least so many cells of the type."""
        kept = self.n_cells >= least
        return TypeBulk(
            self.material,
            self.cell_type,
            self.rows[kept],
            self.n_cells[kept],
            self.total[kept],
        )


def measured_genes(patients: Patients) -> tuple[str, ...]:
    """Genes of the panel, in the order of `TypeBulk.total`; none without samples."""
    return () if patients.samples is None else tuple(patients.samples.summary.genes)


def type_bulks(patients: Patients) -> Iterator[TypeBulk]:
    """One for each material and cell type that occurs, one at a time: all together may be larger than memory.

    Args:
        patients: One row each, seen from their landmark.
    """
    samples = patients.samples
    if samples is None:
        return
    has_cells = np.diff(samples.summary.offsets) > 0
    genes = measured_genes(patients)
    for material in sorted(set(samples.material)):
        latest = latest_samples(patients, material, has_cells)
        rows = np.flatnonzero(latest >= 0)
        summary = samples.summary.take(latest[rows])
        by_type = summary.cells_by_type
        for j, cell_type in enumerate(summary.cell_types):
            if by_type[:, j].any():
                sums = summary.aligned((cell_type,), genes)
                yield TypeBulk(material, cell_type, rows, by_type[:, j], sums.total[:, 0])
