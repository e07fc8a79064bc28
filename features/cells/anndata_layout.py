"""Where AnnData keeps things on disk: files and stores, columns of obs, X; whatever is wrong names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import anndata
import h5py
import numpy as np
import pandas as pd
import zarr

from features.cells.matrix import Compressed, CscMatrix, CsrMatrix, DenseMatrix, Matrix
from features.errors import SequelaError
from features.patients import IntArray

Item = TypeVar("Item")


class CellFileError(SequelaError):
    """A file of cells that cannot be used.

    Args:
        path: The file.
        rule: What is wrong with it.
        remedy: What to do.
        code: Code of the finding it makes.
    """

    def __init__(self, path: Path, rule: str, remedy: str, code: str = "unreadable-cells") -> None:
        super().__init__(f"{path.name}: {rule}. {remedy}")
        self.rule, self.remedy, self.code = rule, remedy, code


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever a library makes of a damaged file becomes one error that names the file."""
    try:
        yield
    except CellFileError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:160] or type(error).__name__
        remedy = "It may be cut short: copy or write it again, with anndata 0.8 or newer."
        raise CellFileError(path, text, remedy) from error


def guarded(path: Path, items: Iterator[Item]) -> Iterator[Item]:
    """The same items; an error in making one of them names the file."""
    end = object()
    while True:
        with reading(path):
            item = next(items, end)
        if item is end:
            return
        yield cast("Item", item)


def open_root(path: Path) -> h5py.File | zarr.Group:
    """Open an .h5ad file or a .zarr store for reading."""
    if not path.exists():
        raise CellFileError(path, "there is no such file", "Check the path.")
    if path.suffix == ".zarr":
        return zarr.open_group(path, mode="r")
    return h5py.File(path, mode="r")


def close_root(root: h5py.File | zarr.Group) -> None:
    """Close what `open_root` opened."""
    if isinstance(root, h5py.File):
        root.close()
    else:
        root.store.close()


def read_labels(obs: Any, name: str, path: Path, *, required: bool = True) -> tuple[IntArray, tuple[str, ...]]:  # noqa: ANN401
    """A column of obs as codes (-1 for missing) and labels in the order of their first cell."""
    if name not in obs:
        if required:
            remedy = f"Add obs.{name}: the samples.csv row each cell belongs to."
            raise CellFileError(path, f"obs.{name} is missing", remedy, "missing-column")
        return np.zeros(0, dtype=np.int64), ()
    codes, labels = pd.factorize(pd.Series(anndata.io.read_elem(obs[name])))
    trimmed, names = pd.factorize(np.array([str(label).strip() for label in labels], dtype=object))
    return np.append(trimmed, -1)[codes].astype(np.int64), tuple(names)


def read_matrix(stored: Any, path: Path) -> Matrix:  # noqa: ANN401 - HDF5 or zarr
    """X, not read yet.

    Raises:
        CellFileError: It is of no known kind, or its parts contradict one another.
    """
    if hasattr(stored, "shape"):
        if len(stored.shape) != 2:
            raise CellFileError(path, f"X has {len(stored.shape)} axes", "X is (cells, genes).")
        return DenseMatrix(stored)
    kind = stored.attrs.get("encoding-type", "of no known kind")
    if kind not in {"csr_matrix", "csc_matrix"}:
        raise CellFileError(path, f"X is {kind}", "Write it as CSR, CSC or dense, with anndata 0.8 or newer.")
    n_cells, n_genes = map(int, stored.attrs["shape"])
    n_rows, n_columns = (n_cells, n_genes) if kind == "csr_matrix" else (n_genes, n_cells)
    parts = Compressed(n_rows, n_columns, stored["data"], stored["indices"], stored["indptr"])
    if _has_lost_chunks(parts):
        raise CellFileError(path, "pieces of X are missing from the store", "Copy the folder again, complete.")
    return CsrMatrix(parts) if kind == "csr_matrix" else CscMatrix(parts)


def _has_lost_chunks(parts: Compressed) -> bool:
    """Whether a zarr array of X lacks a chunk: zarr reads it as zeros, which sparse values never are throughout."""
    data = parts.data
    return isinstance(data, zarr.Array) and data.shards is None and data.nchunks_initialized < data.nchunks
