"""Bags of cells for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse
from numpy.typing import ArrayLike

from features.cells.bag import UNLABELLED, CellBag

MakeBag = Callable[..., CellBag]


def _bag_of(matrix: ArrayLike, genes: Sequence[str] | None = None, labels: Sequence[str] | None = None) -> CellBag:
    sparse = scipy.sparse.csr_matrix(np.asarray(matrix, dtype=float))
    names = tuple(genes) if genes is not None else tuple(f"g{i}" for i in range(sparse.shape[1]))
    cell_type = np.array([UNLABELLED] * sparse.shape[0] if labels is None else list(labels), dtype=object)
    return CellBag(names, sparse.indptr.astype(np.int64), sparse.indices.astype(np.int64), sparse.data, cell_type)


@pytest.fixture(scope="session")
def make_bag() -> MakeBag:
    """A bag from a dense matrix (cells, genes), names of genes and labels of cells."""
    return _bag_of


@pytest.fixture(scope="session")
def carpall(shared_data: Path) -> anndata.AnnData:
    """The cells of the CARPALL study: raw counts of 22,309 cells on 3,028 genes."""
    return anndata.read_h5ad(shared_data / "carpall_scrna" / "carpall_hvg3000_counts.h5ad")


@pytest.fixture(scope="session")
def carpall_bag(carpall: anndata.AnnData) -> CellBag:
    """All of these cells in one bag, with the authors' labels."""
    x = carpall.X.tocsr()
    labels = carpall.obs["cart_celltype"].astype(object)
    labels = labels.where(labels.notna(), UNLABELLED).to_numpy(dtype=object)
    genes = tuple(map(str, carpall.var_names))
    return CellBag(genes, x.indptr.astype(np.int64), x.indices.astype(np.int64), x.data.astype(float), labels)
