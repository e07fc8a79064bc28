"""Cells of GSE197268: which files are which sample, and all of them as one matrix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray

from features.errors import SequelaError

_SAMPLE = re.compile(
    r"Patient(?P<number>\d+)-(?P<time>Baseline|Infusion|D(?P<day>\d+))(?P<sorted>-CART)?(?P<again>-retreatment)?"
)
_MATERIALS: Mapping[str, str] = {"Baseline": "blood", "Infusion": "infusion_product"}
_COMPANIONS = (("barcodes.tsv",), ("features.tsv", "genes.tsv"))


@dataclass(frozen=True, slots=True)
class Matrix:
    """The files of one sample."""

    sample_id: str
    patient_id: str
    day: float
    material: str
    files: tuple[Path, ...]
    """Matrix, barcodes and features."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of all samples, those of one sample together."""

    counts: scipy.sparse.csr_matrix
    """(cells, genes)."""
    genes: tuple[str, ...]
    sample_id: NDArray[np.object_]
    """(cells,)."""
    barcode: NDArray[np.object_]
    """(cells,)."""
    samples: pd.DataFrame
    """sample_id, patient_id, day, material, assay."""

    def write(self, folder: Path) -> None:
        """Write cells.h5ad."""
        from features.cells.anndata_io import write_cells  # anndata is slow to import

        extra = pd.DataFrame({"barcode": self.barcode})
        write_cells(folder / "cells.h5ad", self.counts, self.genes, self.sample_id, extra_obs=extra)


def find_matrices(source: Path, patients: Sequence[str] | pd.Series) -> list[Matrix]:
    """The samples below a folder, by patient and day, without those of a second infusion.

    Raises:
        SequelaError: A matrix is of no known sample or patient, lacks its barcodes or features, or stands twice; or
            there are archives instead of matrices.
    """
    archives = sorted(path for pattern in ("*_RAW.tar", "GSM*.tar", "GSM*.tar.gz") for path in source.rglob(pattern))
    if archives:
        msg = f"{archives[0]}: an archive, while the importer reads the files in it; extract it and remove it"
        raise SequelaError(msg)
    by_number = {int(patient.rpartition("-")[2]): patient for patient in patients}
    found: dict[str, Matrix] = {}
    for path in sorted(source.rglob("*matrix.mtx*")):
        name = _SAMPLE.search(path.name) or _SAMPLE.search(path.parent.name)
        if name is None or int(name["number"]) not in by_number:
            rule = "its name, or that of its folder, is that of a sample, such as Patient6-Baseline"
            msg = f"{path}: {rule}, of a patient of patients.csv; rename the file or folder as in GSE197268"
            raise SequelaError(msg)
        if name["again"]:
            continue
        if name[0] in found:
            msg = f"{path}: sample {name[0]} stands a second time, beside {found[name[0]].files[0]}; remove one of them"
            raise SequelaError(msg)
        files = (path, *(_companion(path, names) for names in _COMPANIONS))
        material = "blood_car_t" if name["sorted"] else _MATERIALS.get(name["time"], "blood")
        found[name[0]] = Matrix(name[0], by_number[int(name["number"])], float(name["day"] or 0), material, files)
    return sorted(found.values(), key=lambda matrix: (matrix.patient_id, matrix.day, matrix.sample_id))


def _companion(path: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        stem = path.name.partition("matrix.mtx")[0] + name
        for candidate in (path.with_name(stem + ".gz"), path.with_name(stem)):
            if candidate.is_file():
                return candidate
    msg = f"{path}: {' or '.join(names)} is missing beside it; a sample is matrix, barcodes and features. Download all."
    raise SequelaError(msg)


def read_cells(matrices: Sequence[Matrix]) -> Cells:
    """Read all samples; the counts of all are in memory at once.

    Raises:
        SequelaError: A file cannot be read, or samples have different genes.
    """
    read_tenx_folder = import_module("features.importers.tenx").read_tenx_folder
    blocks, genes, sample_id, barcode = [], None, [], []
    for matrix in matrices:
        with TemporaryDirectory() as beside:
            for file, plain in zip(matrix.files, ("matrix.mtx", "barcodes.tsv", "features.tsv"), strict=True):
                suffix = ".gz" if file.suffix == ".gz" else ""
                (Path(beside) / f"{plain}{suffix}").symlink_to(file.resolve())
            read = read_tenx_folder(Path(beside))
        counts, names, barcodes = read.counts, read.genes, read.barcodes
        if genes is not None and list(names) != genes:
            rule = f"{len(names)} genes are not those of the samples before it, in their order"
            msg = f"{matrix.files[2]}: {rule}; take matrices of one release"
            raise SequelaError(msg)
        genes = list(names)
        blocks.append(scipy.sparse.csr_matrix(counts, dtype=np.float32))
        sample_id += [matrix.sample_id] * len(barcodes)
        barcode += list(barcodes)
    columns = ("sample_id", "patient_id", "day", "material")
    samples = pd.DataFrame([[getattr(matrix, name) for name in columns] for matrix in matrices], columns=list(columns))
    return Cells(
        scipy.sparse.csr_matrix(scipy.sparse.vstack(blocks)),
        tuple(genes or ()),
        np.array(sample_id, dtype=object),
        np.array(barcode, dtype=object),
        samples.assign(assay="10x 5' scRNA-seq"),
    )
