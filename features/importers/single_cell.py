"""`sequela import single_cell`: cells of any study, with its clinical table, become a cohort folder.

Conventions
- Without an outcome, follow-up is the day of a patient's last sample, and there are no events.
- With a label (two classes of patients) the positive class has the event on day 1 and everyone is followed for 2 days,
  so that a classification runs by the same commands as a risk: the one at the horizon of 1 day, from day 0.
- Cells whose sample is missing are left out, and noted.
- 10x matrices keep the ids of genes, which are unique, not their symbols.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse

from features.cohort import write_cohort
from features.documents import read_document
from features.errors import SequelaError
from features.importers.single_cell_clinic import Clinic, read_clinic, read_samples
from features.importers.single_cell_spec import CellsSpec, SingleCellSpec
from features.schema import CohortCard

Progress = Callable[[int, int], None]
logger = logging.getLogger(__name__)


def import_single_cell(spec: Path, source: Path, folder: Path, progress: Progress | None = None) -> None:
    """Write the cohort folder of single cells.

    Args:
        spec: The specification (`features.importers.single_cell_spec.SingleCellSpec`, as YAML).
        source: An .h5ad, a 10x .h5, or a folder with 10x matrices in it or below it.
        folder: Where; must be absent or empty.
        progress: Called with the cells (of 10x matrices, the samples) done and those in all.

    Raises:
        SequelaError: The specification, the cells or the clinical table break a rule.
    """
    from features.importers.cells_writer import CellsWriter  # anndata is slow to import
    from features.importers.single_cell_sources import CellSource, open_cells

    if not source.exists():
        msg = f"{source}: no such file or folder; check the path"
        raise SequelaError(msg)
    rules = read_document(spec, SingleCellSpec)
    if source.suffix == ".h5ad" and rules.samples.sample_id is None:
        msg = f"{spec.name}: samples.sample_id is missing; name the column of obs that says which sample a cell is of"
        raise SequelaError(msg)
    wanted = _wanted(rules)
    with open_cells(source, rules.cells, rules.samples, wanted) as cells:
        samples = read_samples(rules, cells.samples, cells.table, _places(spec, source))
        clinic = read_clinic(rules, samples, _places(spec, source))
        transform = _transform(rules.cells, cells.genes())

        def write_cells(beside: Path, of: CellSource = cells) -> None:
            with CellsWriter(beside / "cells.h5ad", of.genes()) as writer:
                for part in of.parts(progress):
                    writer.add(part.sample_id, transform(part.values), part.obs if len(part.obs.columns) else None)

        notes = [rules.notes, *clinic.notes, *_notes(rules, source)]
        tables = clinic.tables | {"samples": samples.table}
        card = _card(rules, clinic, " ".join(note for note in notes if note))
        write_cohort(folder, card, tables, write_cells=write_cells, endpoints=clinic.endpoints)


def _wanted(rules: SingleCellSpec) -> list[str]:
    """Columns of obs that samples need."""
    if rules.samples.file is not None:
        return [rules.samples.sample_id] if rules.samples.sample_id else []
    label = [rules.label.column] if rules.label is not None and rules.label.table == "samples" else []
    return list(dict.fromkeys([*rules.samples.columns.values(), *label]))


def _places(spec: Path, source: Path) -> tuple[Path, ...]:
    """Folders in which tables are looked for."""
    return (source if source.is_dir() else source.parent, spec.parent)


def _transform(
    cells: CellsSpec, genes: tuple[str, ...]
) -> Callable[[scipy.sparse.csr_matrix], scipy.sparse.csr_matrix]:
    """arcsinh(value / cofactor), marker by marker; 0 stays 0, so that sparse values stay sparse.

    Raises:
        SequelaError: A marker with a cofactor does not exist.
    """
    if cells.cofactor is None:
        return lambda values: values
    by_marker = cells.cofactor if isinstance(cells.cofactor, dict) else dict.fromkeys(genes, cells.cofactor)
    unknown = [marker for marker in by_marker if marker not in genes]
    if unknown:
        msg = f"cells.cofactor: there is no marker {unknown[0]!r}; the cells have {', '.join(genes[:20])}"
        raise SequelaError(msg)
    cofactor = np.array([by_marker.get(gene, np.nan) for gene in genes])

    def apply(values: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
        divisor = cofactor[values.indices]
        data = np.where(np.isnan(divisor), values.data, np.arcsinh(values.data / divisor))
        return scipy.sparse.csr_matrix((data, values.indices, values.indptr), shape=values.shape)

    return apply


def _notes(rules: SingleCellSpec, source: Path) -> list[str]:
    notes = [f"Imported from {source.name}."]
    cofactor = rules.cells.cofactor
    if isinstance(cofactor, dict):
        listed = ", ".join(f"{marker} {value:g}" for marker, value in cofactor.items())
        notes.append(f"Intensities are arcsinh(value / cofactor), with the cofactors {listed}; others are as measured.")
    elif cofactor is not None:
        notes.append(f"Intensities are arcsinh(value / {cofactor:g}).")
    return notes


def _card(rules: SingleCellSpec, clinic: Clinic, notes: str) -> CohortCard:
    return CohortCard(
        title=rules.title,
        citation=rules.citation,
        licence=rules.licence,
        provenance=rules.provenance,
        variables=clinic.variables,
        cells=rules.cells.card(),
        notes=notes,
    )
