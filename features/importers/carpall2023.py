"""`sequela import carpall2023`: cells of 9 children after CD19 CAR-T cells (Anderson et al., Nat Med 2023).

The source is the file of raw counts on 3,028 genes. The authors published no outcome with the cells, so the cohort has
patients, samples and cells, and no events.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from features.cohort import write_cohort
from features.errors import SequelaError
from features.importers.spec import DAYS_PER_UNIT
from features.schema import CellsCard, CohortCard

if TYPE_CHECKING:
    import h5py

FILE = "carpall_hvg3000_counts.h5ad"
MATERIALS = {"PROD": "infusion_product", "PB": "blood", "BM": "bone_marrow"}
"""Materials by the study's abbreviations."""
_ASSAYS = {"CD3+CAT+": "scRNA-seq, CAR-positive T cells", "NoSo": "scRNA-seq, unsorted"}
_BY_SAMPLE = ("patient", "months", "source", "sort")
_NOTES = """\
Raw counts of 3,028 genes, chosen by the one who cut the file down (3,000 highly variable ones and a panel of T-cell
genes): normalisation to the total of a cell is to the total over these genes, not over its transcriptome. 34 of 89
libraries, selected by file size and so biased to small ones. Months are converted at 30.4375 days; the infusion product
is dated day 0. Follow-up is the day of a patient's last sample, since neither outcome nor last contact is published.
Cell types are the authors' labels of CAR T cells; other cells have none."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """The published file: obs as text and numbers, X, and gene symbols."""

    obs: pd.DataFrame
    counts: csr_matrix
    genes: list[str]

    def write(self, folder: Path) -> None:
        """Write cells.h5ad, the cells of a sample together."""
        from features.cells.anndata_io import write_cells  # anndata is slow to import

        labels = self.obs["cart_celltype"].to_numpy(dtype=object)
        extra = self.obs[["timepoint", "pct_mt", "n_counts_total"]]
        path = folder / "cells.h5ad"
        write_cells(path, self.counts, self.genes, self.obs["gex_sample"], cell_type=labels, extra_obs=extra)


def import_carpall2023(source: Path, folder: Path) -> None:
    """Write the cohort folder of the CARPALL study's cells.

    Args:
        source: Folder with carpall_hvg3000_counts.h5ad, or the file itself.
        folder: Where; must be absent or empty.

    Raises:
        SequelaError: The file is missing, damaged, or not the published one.
    """
    cells = _read(source / FILE if source.is_dir() else source)
    samples = _samples(cells.obs)
    last_day = samples.groupby("patient_id")["day"].max()
    patients = pd.DataFrame({"patient_id": last_day.index, "follow_up_days": last_day.to_numpy()})
    card = CohortCard(
        title="CARPALL, CD19 CAR-T cells in children with leukaemia: single cells from infusion product to month 60",
        citation="Anderson ND et al., Transcriptional signatures associated with persisting CD19 CAR-T cells in "
        "children with leukemia, Nature Medicine 2023; data: natedandy/CAT_CART_paper_2023, commit dd1faae",
        licence="not stated",
        provenance="real",
        variables={},
        cells=CellsCard(values="counts", genes="genes"),
        notes=" ".join(_NOTES.split()),
    )
    write_cohort(folder, card, {"patients": patients, "samples": samples}, write_cells=cells.write)


def _read(path: Path) -> _Cells:
    """Read the file's CSR matrix and the columns that are needed, and nothing else of it."""
    import h5py  # slow to import

    try:
        with h5py.File(path) as file:
            matrix = file["X"]
            parts = (matrix["data"][:], matrix["indices"][:], matrix["indptr"][:])
            counts = csr_matrix(parts, shape=tuple(matrix.attrs["shape"]))
            names = ("gex_sample", *_BY_SAMPLE, "timepoint", "cart_celltype", "pct_mt", "n_counts_total")
            obs = pd.DataFrame({name: _column(file["obs"][name]) for name in names})
            genes = [str(gene) for gene in file["var"]["_index"].asstr()[:]]
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        msg = f"{path}: cannot be read as the published AnnData file ({reason}); take {FILE} as published"
        raise SequelaError(msg) from error
    if counts.shape != (len(obs), len(genes)):
        rule = f"X has shape {counts.shape} for {len(obs)} cells and {len(genes)} genes"
        msg = f"{path.name}: {rule}; take the published file"
        raise SequelaError(msg)
    return _Cells(obs, counts, genes)


def _column(stored: h5py.Group | h5py.Dataset) -> NDArray[Any]:
    """A column of obs; categorical ones hold categories and codes, of which -1 is missing (AnnData's format)."""
    if stored.attrs["encoding-type"] != "categorical":
        return np.asarray(stored[:])
    categories = np.array([*stored["categories"].asstr()[:], None], dtype=object)
    return np.asarray(categories[stored["codes"][:]], dtype=object)


def _samples(obs: pd.DataFrame) -> pd.DataFrame:
    """sample_id, patient_id, day, material, assay: one row a library, by patient and day.

    Raises:
        SequelaError: A library belongs to two patients, times or materials, or its material is not known.
    """
    libraries = obs[["gex_sample", *_BY_SAMPLE]].drop_duplicates()
    for column, names in (("source", MATERIALS), ("sort", _ASSAYS)):
        unknown = libraries.loc[~libraries[column].isin(list(names)), column]
        if len(unknown):
            msg = f"{FILE}: obs.{column} = {unknown.iloc[0]!r}; known are {', '.join(names)}. Take the published file."
            raise SequelaError(msg)
    twice = libraries["gex_sample"].duplicated()
    if twice.any():
        library = libraries.loc[twice, "gex_sample"].iloc[0]
        msg = f"{FILE}: library {library!r} has two of {', '.join(_BY_SAMPLE)}; one is right. Take the published file."
        raise SequelaError(msg)
    samples = pd.DataFrame(
        {
            "sample_id": libraries["gex_sample"],
            "patient_id": libraries["patient"],
            "day": libraries["months"].astype(float) * DAYS_PER_UNIT["months"],
            "material": libraries["source"].map(MATERIALS),
            "assay": libraries["sort"].map(_ASSAYS),
        }
    )
    return samples.sort_values(["patient_id", "day", "sample_id"], ignore_index=True)
