"""A small valid cohort folder, built with the real writers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.cohort import write_cohort
from features.schema import CellsCard, CohortCard, Variable

GENES = ("CD3E", "CD8A", "CD4", "GZMB", "PDCD1", "MKI67", "C1orf56", "HLA-DRA")
CELLS_OF_SAMPLE = {"S1": 6, "S2": 9, "S3": 5}
VARIABLES = {
    "age": Variable(kind="numeric", unit="a", range=(18.0, 100.0)),
    "ferritin": Variable(kind="numeric", unit="ng/mL", range=(0.0, 100_000.0)),
    "neutrophils": Variable(kind="numeric", unit="10*9/L", range=(0.0, 100.0)),
    "stage": Variable(kind="ordinal", levels=("1", "2", "3")),
    "product": Variable(kind="categorical", levels=("axi-cel", "tisa-cel")),
    "comment": Variable(kind="categorical"),
}
TABLES = {
    "patients": pd.DataFrame(
        {
            "patient_id": ["P1", "P2", "P3", "P4"],
            "follow_up_days": [400, 200.5, 90, 730],
            "entry_day": [0, 5, None, 30],
            "site": ["Leipzig", "Leipzig", "Bern", None],
            "age": [61, 70.5, None, 44],
            "stage": ["1", "3", "2", None],
            "product": ["axi-cel", "tisa-cel", None, "axi-cel"],
            "comment": ["first, of all", None, "none", "x"],
        }
    ),
    "events": pd.DataFrame(
        {
            "patient_id": ["P1", "P2", "P3", "P4"],
            "day": [35, 200.5, 60, -3],
            "event": ["infection", "death", "infection", "crs"],
            "grade": [3, None, 4, 1],
            "detail": ["pneumonia", None, None, None],
        }
    ),
    "measurements": pd.DataFrame(
        {
            "patient_id": ["P1", "P1", "P2", "P4"],
            "day": [-2, 14, 0, 7],
            "variable": ["ferritin", "neutrophils", "ferritin", "neutrophils"],
            "value": [410, 1500, 0.5, 2.5],
            "unit": ["ug/L", "/uL", "mg/L", None],
        }
    ),
    "samples": pd.DataFrame(
        {
            "sample_id": ["S1", "S2", "S3"],
            "patient_id": ["P1", "P1", "P4"],
            "day": [0, 28, 0],
            "material": ["infusion_product", "blood", "infusion_product"],
            "assay": ["10x", "10x", "10x"],
        }
    ),
    "clones": pd.DataFrame(
        {
            "sample_id": ["S1", "S1", "S2", "S2"],
            "locus": ["tcr", "tcr", "tcr", "integration"],
            "clone": ["CASSF", "CASSL", "CASSF", "chr17+7669662"],
            "abundance": [2, 1, 4, 12.5],
            "near_oncogene": [None, None, None, 1],
        }
    ),
}


def write_tiny_cells(folder: Path, suffix: str = ".h5ad") -> None:
    """Raw counts of 20 cells, two of them without a count, some without a label."""
    from features.cells.anndata_io import write_cells  # here, because it takes a second that few tests need

    sample = np.repeat(list(CELLS_OF_SAMPLE), list(CELLS_OF_SAMPLE.values()))
    label = np.array(["CD8", "CD4", None, "NK"], dtype=object)[np.arange(len(sample)) % 4]
    counts = np.random.default_rng(0).poisson(0.7, size=(len(sample), len(GENES))).astype(np.float32)
    counts[::10] = 0
    write_cells(folder / f"cells{suffix}", counts, GENES, sample, label)


@pytest.fixture
def cohort_card() -> CohortCard:
    return CohortCard(
        title="Tiny", citation="none", licence="CC0-1.0", provenance="simulated", variables=VARIABLES, cells=CellsCard()
    )


@pytest.fixture
def tiny_cohort(tmp_path: Path, cohort_card: CohortCard) -> Path:
    """A valid cohort folder with every table and cells: 4 patients, 3 samples, 20 cells, 8 genes."""
    folder = tmp_path / "cohort"
    write_cohort(folder, cohort_card, TABLES, write_cells=write_tiny_cells)
    return folder


@pytest.fixture
def clinical(tiny_cohort: Path) -> Path:
    """The tiny cohort without its cells."""
    (tiny_cohort / "cells.h5ad").unlink()
    return tiny_cohort


@pytest.fixture
def edit(tiny_cohort: Path) -> Callable[[str, Callable[[pd.DataFrame], object]], Path]:
    """Change one table of the tiny cohort: takes its name, and a function that changes its text or gives a new one."""

    def change(name: str, alter: Callable[[pd.DataFrame], object]) -> Path:
        path = tiny_cohort / f"{name}.csv"
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        altered = alter(table)
        (altered if isinstance(altered, pd.DataFrame) else table).to_csv(path, index=False)
        return tiny_cohort

    return change


@pytest.fixture(name="write_tiny_cells")
def _write_tiny_cells() -> Callable[..., None]:
    """The function that writes the tiny cohort's cells into a folder, as .h5ad or .zarr."""
    return write_tiny_cells
