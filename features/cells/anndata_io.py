"""Cells on disk: AnnData files (.h5ad) and stores (.zarr), read one sample at a time and never loaded whole.

With `anndata_layout` the only module that imports anndata, h5py and zarr; whoever needs cells imports it when the need
arises. The layout is AnnData's on-disk format (anndata.readthedocs.io, "On-disk format"), the names are ours:
obs.sample_id, obs.cell_type.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse
import zarr
from numpy.typing import ArrayLike, NDArray

from features.cells.anndata_layout import CellFileError as CellFileError
from features.cells.anndata_layout import close_root, guarded, open_root, read_labels, read_matrix, reading
from features.cells.bag import UNLABELLED, CellBag
from features.cells.matrix import Block, Matrix, Rows
from features.cells.matrix_samples import SampleRows, by_sample, lies_together
from features.patients import IntArray, TextArray

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CellFile:
    """An open file of cells. Close it, or use it as a context manager."""

    path: Path
    genes: tuple[str, ...]
    """Names of the columns of X, as they are in the file."""
    samples: tuple[str, ...]
    """Samples in the order of their first cell."""
    sample: IntArray
    """(cells,): index into `samples`, -1 for cells without a sample."""
    cell_types: TextArray
    """Labels; the last one is `UNLABELLED`."""
    cell_type: IntArray
    """(cells,): index into `cell_types`, -1 for cells without a label."""
    matrix: Matrix
    _root: h5py.File | zarr.Group

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open ``cells.h5ad`` or ``cells.zarr`` and read obs and var, not X.

        Raises:
            CellFileError: The file is absent, damaged, no AnnData, or has no obs.sample_id.
        """
        with reading(path):
            root = open_root(path)
            try:
                sample, samples = read_labels(root["obs"], "sample_id", path)
                cell_type, cell_types = read_labels(root["obs"], "cell_type", path, required=False)
                var: Any = root["var"]
                genes = tuple(map(str, anndata.io.read_elem(var[var.attrs["_index"]])))
                matrix = read_matrix(root["X"], path)
                if matrix.shape != (len(sample), len(genes)) or len(cell_type) not in (0, len(sample)):
                    rule = f"X has shape {matrix.shape}, obs {len(sample)} rows and var {len(genes)}"
                    raise CellFileError(path, rule, "Write the file again.")
            except BaseException:
                close_root(root)
                raise
        if not len(cell_type):
            cell_type = np.full(len(sample), -1)
        labels = np.array([*cell_types, UNLABELLED], dtype=object)
        return cls(path, genes, samples, sample, labels, cell_type, matrix, root)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.sample)

    def close(self) -> None:
        """Close the file."""
        close_root(self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def blocks(self, progress: Progress | None = None) -> Iterator[Block]:
        """The values of X, once, in no particular order of cells.

        Raises:
            CellFileError: The file is damaged.
        """
        for done, total, block in guarded(self.path, self.matrix.blocks()):
            yield block
            if progress is not None:
                progress(done, total)

    def bags(self, progress: Progress | None = None) -> Iterator[tuple[str, CellBag]]:
        """Each sample with its cells, in the order of `samples`; cells keep their order within a sample.

        Args:
            progress: Called with the cells done and the cells that have a sample.

        Raises:
            CellFileError: The file is damaged.
        """
        done, total = 0, int(np.count_nonzero(self.sample >= 0))
        for sample in self.sample_rows():
            yield self.samples[sample.number], self.bag(sample)
            done += len(sample.cells)
            if progress is not None:
                progress(done, total)

    def sample_rows(self, wanted: Sequence[int] | None = None) -> Iterator[SampleRows]:
        """The cells of samples as they are stored, some at a time, so that a large sample is never held whole.

        Args:
            wanted: Numbers of samples, ascending; all if None.

        Raises:
            CellFileError: The file is damaged.
        """
        for found in guarded(self.path, by_sample(self.matrix, self.sample, len(self.samples), wanted)):
            yield SampleRows(found.number, found.cells, guarded(self.path, found.parts))

    @property
    def lies_together(self) -> bool:
        """Whether any sample can be read without reading the others."""
        return lies_together(self.matrix, self.sample, len(self.samples))

    def labels(self, cells: IntArray) -> TextArray:
        """(cells,): cell types, `UNLABELLED` where there is none."""
        return self.cell_types[self.cell_type[cells]]

    def bag(self, sample: SampleRows) -> CellBag:
        """A bag of the cells of a sample."""
        rows = Rows.joined(list(sample.parts))
        values = rows.values.astype(np.float64)
        return CellBag(self.genes, rows.indptr, rows.indices.astype(np.int64), values, self.labels(sample.cells))


def iter_bags(path: Path, progress: Progress | None = None) -> Iterator[tuple[str, CellBag]]:
    """Each sample of a file with its cells; see `CellFile.bags`.

    Raises:
        CellFileError: The file cannot be read.
    """
    with CellFile.open(path) as cells:
        yield from cells.bags(progress)


def write_cells(
    path: Path,
    X: scipy.sparse.csr_matrix | scipy.sparse.csr_array | NDArray[np.floating[Any]],  # noqa: N803 - AnnData's name
    genes: Sequence[str],
    sample_id: ArrayLike,
    cell_type: ArrayLike | None = None,
    extra_obs: pd.DataFrame | None = None,
) -> None:
    """Write cells as AnnData, whole or not at all; the format follows the suffix, .h5ad or .zarr.

    Cells are put in the order of their samples (of first appearance), so that a sample is read in one piece; rows of
    `extra_obs` move with them.

    Args:
        path: The file, which must not exist.
        X: (cells, genes), sparse or dense; stored as CSR of float32.
        genes: Gene symbols, Ensembl ids or names of markers.
        sample_id: (cells,): the sample of each cell.
        cell_type: (cells,): labels, None where unknown.
        extra_obs: Further columns, one row a cell.

    Raises:
        CellFileError: The file exists, or shapes do not agree.
    """
    matrix = scipy.sparse.csr_matrix(X, dtype=np.float32)
    matrix.eliminate_zeros()
    obs = pd.DataFrame({} if extra_obs is None else extra_obs.reset_index(drop=True))
    obs["sample_id"] = pd.Categorical(np.asarray(sample_id, dtype=object))
    if cell_type is not None:
        obs["cell_type"] = pd.Categorical(np.asarray(cell_type, dtype=object))
    if path.exists() or matrix.shape != (len(obs), len(genes)) or path.suffix not in {".h5ad", ".zarr"}:
        rule = f"X {matrix.shape}, {len(obs)} rows of obs and {len(genes)} genes go to a new file, .h5ad or .zarr"
        raise CellFileError(path, rule, "Make the shapes agree; remove the file if it exists.", "unwritable-cells")
    order = np.argsort(pd.factorize(obs["sample_id"])[0], kind="stable")
    obs = obs.iloc[order].set_axis([str(i) for i in range(len(obs))])
    cells = anndata.AnnData(matrix[order], obs=obs, var=pd.DataFrame(index=pd.Index(list(genes), dtype=object)))
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        _write(cells, beside / path.name)
        (beside / path.name).rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(cells: anndata.AnnData, path: Path) -> None:
    if path.suffix == ".h5ad":
        cells.write_h5ad(path, compression="gzip")
        return
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        # anndata consolidates the metadata of zarr 3, which zarr warns other software about
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        cells.write_zarr(path)
