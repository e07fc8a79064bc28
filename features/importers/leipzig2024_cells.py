"""Plasma cells of the Leipzig study: BCMA as RNA and as protein, with the quality measures of each cell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from features.errors import SequelaError
from features.importers.delimited import Delimited, read_delimited
from features.importers.leipzig2024_visits import Visits, visit_name

_BCMA = ("TNFRSF17_RNA", "TNFRSF17_ADT")
_QUALITY = ("S.Score", "G2M.Score", "Perc_of_mito_genes", "Perc_of_ribosomal_genes", "log10GenesPerUMI")
_COUNTS = ("nCount_RNA", "nFeature_RNA", "nCount_ADT", "nFeature_ADT")
MARKERS = (*_BCMA, *_QUALITY)
_MATERIAL = {"leukapheresis": "apheresis"}


@dataclass(frozen=True, slots=True)
class PlasmaCells:
    """Cells of all samples, those of one sample together."""

    values: NDArray[np.float64]
    """(cells, markers): intensities of `MARKERS`."""
    sample_id: NDArray[np.object_]
    """(cells,)."""
    extra: pd.DataFrame
    """(cells,): counts and cell-cycle phase."""
    samples: pd.DataFrame
    """sample_id, patient_id, day, material, assay."""

    def write(self, folder: Path) -> None:
        """Write cells.h5ad."""
        from features.cells.anndata_io import write_cells  # anndata is slow to import

        cell_type = np.full(len(self.values), "plasma cell", dtype=object)
        path = folder / "cells.h5ad"
        write_cells(path, csr_matrix(self.values), MARKERS, self.sample_id, cell_type=cell_type, extra_obs=self.extra)


def read_plasma_cells(path: Path, visits: Visits) -> PlasmaCells:
    """Read the table of cells, in which each cell has one row for RNA and one for protein.

    Raises:
        SequelaError: The file is missing, or the two rows of a cell do not belong together.
    """
    table = read_delimited(path)
    rna, protein = (_rows_of(table, kind) for kind in _BCMA)
    shared = [column for column in table.cells.columns if column not in ("EXPRS", "TYPE")]
    if len(rna.cells) != len(protein.cells) or (rna.cells[shared].to_numpy() != protein.cells[shared].to_numpy()).any():
        rule = f"the rows of {_BCMA[0]} and {_BCMA[1]} must be the same cells in the same order"
        msg = f"{path.name}: {rule}; take the file as published"
        raise SequelaError(msg)
    patients, visit = rna.present("PATIENT_ID"), rna.present("Day").map(visit_name)
    sample_id = (patients + "_" + visit.str.replace(" ", "_")).to_numpy(dtype=object)
    columns = [rna.numbers("EXPRS"), protein.numbers("EXPRS"), *(rna.numbers(name) for name in _QUALITY)]
    extra = pd.DataFrame({name: rna.numbers(name) for name in _COUNTS})
    order = np.argsort(sample_id.astype(str), kind="stable")
    samples = pd.DataFrame(
        {
            "sample_id": sample_id,
            "patient_id": patients.to_numpy(),
            "day": visits.days(patients, visit),
            "material": visit.map(lambda name: _MATERIAL.get(name, "blood")).to_numpy(),
            "assay": "CITE-seq",
        }
    )
    return PlasmaCells(
        np.column_stack(columns)[order],
        sample_id[order],
        extra.assign(phase=rna.present("Phase").to_numpy()).iloc[order].reset_index(drop=True),
        samples.iloc[order].drop_duplicates("sample_id").reset_index(drop=True),
    )


def _rows_of(table: Delimited, kind: str) -> Delimited:
    return Delimited(table.name, table.cells[table.text("TYPE") == kind], table.decimal_comma)
