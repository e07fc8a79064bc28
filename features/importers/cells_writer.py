"""Cells into cells.h5ad one sample after the other, so that no more than one is in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray

from features.errors import SequelaError

_CHUNK = 1 << 18


class CellsWriter:
    """Writes an AnnData file (anndata.readthedocs.io, "On-disk format"); use it as a context manager.

    X is CSR of float32, gzipped, the cells of a sample together. obs is kept in memory until the end: a code and a
    label a cell. A block that ends in an error leaves an unfinished file, to be removed with its folder.

    Args:
        path: The file, which must not exist.
        genes: Names of the columns of X.
    """

    def __init__(self, path: Path, genes: Sequence[str]) -> None:
        self._genes = list(genes)
        self._file = h5py.File(path, "w-")
        self._x = self._file.create_group("X")
        options: dict[str, Any] = {"maxshape": (None,), "chunks": (_CHUNK,), "compression": "gzip"}
        for name, dtype in (("data", np.float32), ("indices", np.int32)):
            self._x.create_dataset(name, shape=(0,), dtype=dtype, **options)
        self._indptr = [np.zeros(1, dtype=np.int64)]
        self._n_values = 0
        self._obs: list[pd.DataFrame] = []

    def add(self, sample_id: str, counts: scipy.sparse.csr_matrix, obs: pd.DataFrame | None = None) -> None:
        """Append cells of a sample; those of one sample are added one after the other.

        Args:
            sample_id: Their sample.
            counts: (cells, genes).
            obs: Further columns, a row a cell; the same columns in every call.

        Raises:
            SequelaError: Shapes do not agree.
        """
        n_cells, n_genes = counts.shape
        table = pd.DataFrame({} if obs is None else obs.reset_index(drop=True), index=pd.RangeIndex(n_cells))
        if n_genes != len(self._genes) or (obs is not None and len(obs) != n_cells):
            rule = f"{n_cells} cells and {n_genes} genes do not fit {len(self._genes)} genes and the rows of obs"
            msg = f"sample {sample_id}: {rule}; samples of one cohort have the same genes in one order"
            raise SequelaError(msg)
        table.insert(0, "sample_id", sample_id)
        self._append("data", counts.data.astype(np.float32, copy=False))
        self._append("indices", counts.indices.astype(np.int32, copy=False))
        self._indptr.append(counts.indptr.astype(np.int64)[1:] + self._n_values)
        self._n_values += counts.nnz
        self._obs.append(table)

    def _append(self, name: str, values: NDArray[Any]) -> None:
        stored = self._x[name]
        stored.resize((self._n_values + len(values),))
        stored[self._n_values :] = values

    def _finish(self) -> None:
        indptr = np.concatenate(self._indptr)
        self._x.create_dataset("indptr", data=indptr, compression="gzip")
        shape = np.array([len(indptr) - 1, len(self._genes)], dtype=np.int64)
        self._x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
        self._file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        obs = pd.concat(self._obs, ignore_index=True) if self._obs else pd.DataFrame({"sample_id": []})
        for column in obs.select_dtypes("object").columns:
            obs[column] = pd.Categorical(obs[column])
        anndata.io.write_elem(self._file, "obs", obs.set_axis(obs.index.astype(str)))
        anndata.io.write_elem(self._file, "var", pd.DataFrame(index=pd.Index(self._genes, dtype=object)))
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            anndata.io.write_elem(self._file, name, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()
