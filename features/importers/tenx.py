"""Expression matrices of 10x Genomics' Cell Ranger, as folders, as GEO deposits, and as HDF5 files.

A sample is three files, gzipped or not: ``matrix.mtx`` (Matrix Market, genes by cells), ``barcodes.tsv``, and
``features.tsv`` (Cell Ranger 3 on) or ``genes.tsv`` (before). GEO deposits put the sample's name before each
(``GSM123_ac01_matrix.mtx.gz``), so that one folder holds many samples. Or it is one HDF5 file (``tenx_h5``).
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse

from features.errors import SequelaError
from features.importers.tenx_h5 import read_h5

MATRIX, BARCODES, FEATURES = "matrix.mtx", "barcodes.tsv", ("features.tsv", "genes.tsv")
EXPRESSION = "Gene Expression"
"""The feature type of genes; antibodies, guides and peaks have others."""
_NAMELESS = frozenset({"outs", "matrix", "matrices", "mex", "filtered", "raw", "data"})
_OF_CELL_RANGER = ("filtered_feature_bc_matrix", "filtered_gene_bc_matri", "raw_feature_bc_matrix", "raw_gene_bc_matri")
_LEAST_ENTRY_BYTES = 4
"""A line of a Matrix Market file has at least two numbers, a space and a line feed."""
_DEFLATE_RATIO = 1032
"""No byte of a gzip file stands for more than this (zlib.net, "zlib Technical Details")."""
_DAMAGE = (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error, csv.Error, KeyError, TypeError)
_MOST_HEADER = 1 << 20
_STORED = ([b"integer", b"general"], [b"real", b"general"])
_ENTRY = {"gene": np.int64, "cell": np.int64, "count": np.float32}


@dataclass(frozen=True, slots=True)
class TenX:
    """One sample."""

    counts: scipy.sparse.csr_matrix
    """(cells, genes), float32."""
    genes: tuple[str, ...]
    """Symbols, as deposited: some stand for several ids."""
    gene_ids: tuple[str, ...]
    """Ids, mostly of Ensembl, each once; the symbols where there are no ids."""
    barcodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TenXSample:
    """Where one sample lies."""

    name: str
    """The prefix of its files or the name of its folder."""
    path: Path
    """Its matrix.mtx, or its HDF5 file."""
    companions: tuple[Path, ...] = field(default=())
    """Barcodes and features; none beside an HDF5 file."""


def read_tenx_folder(path: Path) -> TenX:
    """Read the one sample of a folder, or an HDF5 file.

    Only features of the type "Gene Expression" are kept where types are given.

    Args:
        path: A folder with one sample, or a file such as filtered_feature_bc_matrix.h5.

    Raises:
        SequelaError: A file is absent, damaged, or does not fit the others; or there is no sample, or several.
    """
    samples = find_tenx(path)
    if len(samples) != 1:
        names = ", ".join(sample.name for sample in samples[:5])
        msg = f"{path}: has {len(samples)} samples ({names}), one is wanted; name the folder or file of one"
        raise SequelaError(msg)
    return read_tenx(samples[0])


def find_tenx(path: Path) -> list[TenXSample]:
    """All samples in a folder and below it, by name; or the one of an HDF5 file.

    Raises:
        SequelaError: There is none, a sample lacks a file, or two have one name.
    """
    if path.is_file():
        return [TenXSample(_stem(path), path)]
    if not path.is_dir():
        msg = f"{path}: no such file or folder; check the path"
        raise SequelaError(msg)
    found = [_sample(matrix) for matrix in sorted(path.rglob(f"*{MATRIX}*")) if _is_matrix(matrix)]
    if not found:  # Cell Ranger writes both: the folder is preferred
        found = [TenXSample(_stem(file), file) for file in sorted(path.rglob("*.h5"))]
    if not found:
        msg = f"{path}: no sample is in it or below it; a sample is {MATRIX}, {BARCODES} and {FEATURES[0]}, or an .h5"
        raise SequelaError(msg)
    by_name: dict[str, TenXSample] = {}
    for sample in found:
        if sample.name in by_name:
            where = f"{sample.path} and {by_name[sample.name].path}"
            msg = f"{where}: both are sample {sample.name!r}; names differ. Rename a folder, or remove one"
            raise SequelaError(msg)
        by_name[sample.name] = sample
    return [by_name[name] for name in sorted(by_name)]


def read_tenx(sample: TenXSample) -> TenX:
    """Read one sample; it is in memory whole.

    Raises:
        SequelaError: A file is damaged or does not fit the others.
    """
    if not sample.companions:
        with _reading(sample.path):
            stored = read_h5(sample.path)
        features, barcodes, counts = list(stored.features), list(stored.barcodes), stored.counts
    else:
        barcodes_file, features_file = sample.companions
        barcodes = [row[0] for row in _rows(barcodes_file)]
        features = [_feature(row) for row in _rows(features_file)]
        counts = _counts(sample.path, len(barcodes), len(features))
    return _genes_only(sample, features, barcodes, counts)


def _genes_only(
    sample: TenXSample, features: list[tuple[str, str, str]], barcodes: list[str], counts: scipy.sparse.csr_matrix
) -> TenX:
    kept = [i for i, (_, _, kind) in enumerate(features) if kind in ("", EXPRESSION)]
    ids = [features[i][0] for i in kept]
    if not kept:
        kinds = ", ".join(sorted({kind for _, _, kind in features})) or "none"
        msg = f"{sample.path}: no feature is of the type {EXPRESSION}, but {kinds}; take the gene expression matrix"
        raise SequelaError(msg)
    for what, names in (("gene id", ids), ("barcode", barcodes)):
        if len(set(names)) < len(names):
            file = sample.companions[what == "gene id"] if sample.companions else sample.path
            again = Counter(names).most_common(1)[0][0]
            msg = f"{file}: {what} {again!r} stands twice; each is there once. Take the deposited file"
            raise SequelaError(msg)
    if len(kept) < len(features):
        counts = scipy.sparse.csr_matrix(counts[:, kept])
    return TenX(counts, tuple(features[i][1] for i in kept), tuple(ids), tuple(barcodes))


def _is_matrix(path: Path) -> bool:
    return path.name.endswith((MATRIX, f"{MATRIX}.gz")) and path.is_file()


def _sample(matrix: Path) -> TenXSample:
    """The sample of a matrix, with its companions.

    Raises:
        SequelaError: A companion is missing.
    """
    prefix = matrix.name.partition(MATRIX)[0]
    name = prefix.strip("_-. ") or _folder_name(matrix.parent)
    return TenXSample(name, matrix, (_companion(matrix, prefix, (BARCODES,)), _companion(matrix, prefix, FEATURES)))


def _companion(matrix: Path, prefix: str, names: tuple[str, ...]) -> Path:
    for name in names:
        for candidate in (matrix.with_name(f"{prefix}{name}.gz"), matrix.with_name(f"{prefix}{name}")):
            if candidate.is_file():
                return candidate
    wanted = " or ".join(f"{prefix}{name}" for name in names)
    msg = f"{matrix}: {wanted} (or .gz) is missing beside it; a sample is three files. Download all of them"
    raise SequelaError(msg)


def _folder_name(folder: Path) -> str:
    """The nearest folder that is not one of Cell Ranger's own."""
    for part in (folder, *folder.resolve().parents):
        if part.name.lower() not in _NAMELESS and not part.name.startswith(_OF_CELL_RANGER):
            return part.name
    return folder.name


def _stem(file: Path) -> str:
    name = file.stem.removesuffix(".h5")
    for own in _OF_CELL_RANGER:
        name = name.partition(own)[0]
    return name.strip("_-. ") or _folder_name(file.parent)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a library makes of a damaged file becomes one error that names the file."""
    try:
        yield
    except SequelaError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        msg = f"{path}: cannot be read ({reason}); it may be cut short: download it again"
        raise SequelaError(msg) from error


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """The file, decompressed where its first bytes say gzip, whatever its name says."""
    return gzip.open(path, "rb") if _is_gzipped(path) else path.open("rb")


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _rows(path: Path) -> list[list[str]]:
    """Tab-separated rows; quotes mean nothing.

    Raises:
        SequelaError: The file cannot be read, or a row is empty.
    """
    with _reading(path), _open(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8")
        rows = list(csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE))
    empty = next((number for number, row in enumerate(rows, start=1) if not row or not row[0].strip()), None)
    if empty is not None:
        msg = f"{path} row {empty}: is empty; every row names a cell or gene. Take the deposited file"
        raise SequelaError(msg)
    return rows


def _feature(row: list[str]) -> tuple[str, str, str]:
    """Id, symbol and type of a feature."""
    return row[0].strip(), (row[1].strip() if len(row) > 1 and row[1].strip() else row[0].strip()), "".join(row[2:3])


def _counts(path: Path, n_cells: int, n_features: int) -> scipy.sparse.csr_matrix:
    """(cells, features).

    Raises:
        SequelaError: The file is damaged, or not of these cells and features.
    """
    with _reading(path):
        header_rows, values = _check_header(path, n_cells, n_features)
        entries = _entries(path, header_rows)
        gene, cell, count = (entries[name].to_numpy() for name in _ENTRY)
        if len(entries) != values:
            msg = f"{values} values are announced, {len(entries)} given"
            raise ValueError(msg)
        if not (np.isfinite(count) & (gene >= 1) & (gene <= n_features) & (cell >= 1) & (cell <= n_cells)).all():
            msg = "a value is no number, or lies outside the announced genes and cells"
            raise ValueError(msg)
        counts = scipy.sparse.csr_matrix((count, (cell - 1, gene - 1)), shape=(n_cells, n_features))
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts


def _entries(path: Path, header_rows: int) -> pd.DataFrame:
    """Gene, cell (from 1) and count of every value; not by scipy.io.mmread, which a damaged file can crash (1.16)."""
    with _open(path) as file:
        return pd.read_csv(
            file, sep=r"\s+", header=None, skiprows=header_rows, names=list(_ENTRY), usecols=[0, 1, 2], dtype=_ENTRY
        )


def _check_header(path: Path, n_cells: int, n_features: int) -> tuple[int, int]:
    """Lines before the values, and how many values there are; before anything is reserved for them."""
    with _open(path) as file:
        lines = file.read(_MOST_HEADER).split(b"\n")
    kind = lines[0].lower().split()
    if kind[:3] != [b"%%matrixmarket", b"matrix", b"coordinate"] or kind[3:] not in _STORED:
        msg = "the first line is not '%%MatrixMarket matrix coordinate integer general', nor of real values"
        raise ValueError(msg)
    at = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith(b"%")), len(lines))
    genes, cells, values = (int(size) for size in b"".join(lines[at : at + 1]).split())
    if (cells, genes) != (n_cells, n_features):
        rule = f"it has {genes} genes and {cells} cells, its features file {n_features} and its barcodes file {n_cells}"
        msg = f"{path}: {rule}; the three files belong together. Download them again"
        raise SequelaError(msg)
    most = path.stat().st_size * (_DEFLATE_RATIO if _is_gzipped(path) else 1) // _LEAST_ENTRY_BYTES
    if not 0 <= values <= most:
        msg = f"{values} values are announced, more than the file can hold"
        raise ValueError(msg)
    return at + 1, values
