"""Cell Ranger's HDF5 files: filtered_feature_bc_matrix.h5, and those of Cell Ranger 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse

from features.errors import SequelaError

if TYPE_CHECKING:
    from pathlib import Path

    import h5py


class StoredMatrix(NamedTuple):
    """What such a file holds."""

    features: Sequence[tuple[str, str, str]]
    """Id, symbol and type; no type in files of Cell Ranger 2."""
    barcodes: Sequence[str]
    counts: scipy.sparse.csr_matrix
    """(cells, features), float32."""


def read_h5(path: Path) -> StoredMatrix:
    """Read a file.

    The matrix is stored by cells: compressed columns of (features, cells) are compressed rows of (cells, features).

    Raises:
        SequelaError: It holds no matrix, or several, or its parts do not fit.
        OSError, KeyError, ValueError, TypeError: It is damaged.
    """
    import h5py  # slow to import

    with h5py.File(path) as file:
        groups = [name for name in file if isinstance(file[name], h5py.Group) and "indptr" in file[name]]
        if len(groups) != 1:
            found = f"the matrices {', '.join(groups)}" if groups else "no matrix of Cell Ranger"
            msg = f"{path}: has {found}; one is wanted. Export the genome that is meant"
            raise SequelaError(msg)
        group = file[groups[0]]
        barcodes, features = _text(group["barcodes"]), _features(group)
        n_features, n_cells = map(int, group["shape"][:])
        parts = (group["data"][:].astype(np.float32), group["indices"][:], group["indptr"][:])
    if (n_features, n_cells) != (len(features), len(barcodes)):
        rule = f"shape is {n_features} by {n_cells} for {len(features)} features and {len(barcodes)} barcodes"
        msg = f"{path}: {rule}; they belong together. Download the file again"
        raise SequelaError(msg)
    counts = scipy.sparse.csr_matrix(parts, shape=(n_cells, n_features))
    counts.check_format(full_check=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return StoredMatrix(features, barcodes, counts)


def _features(group: h5py.Group) -> list[tuple[str, str, str]]:
    if "features" in group:
        stored = group["features"]
        ids, names = _text(stored["id"]), _text(stored["name"])
        kinds = _text(stored["feature_type"]) if "feature_type" in stored else [""] * len(ids)
    else:
        ids, names = _text(group["genes"]), _text(group["gene_names"])
        kinds = [""] * len(ids)
    return list(zip(ids, names, kinds, strict=True))


def _text(stored: h5py.Dataset) -> list[str]:
    return [str(text) for text in stored.asstr()[:]]
