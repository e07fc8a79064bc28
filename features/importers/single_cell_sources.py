"""Cells as a stream of samples: from an .h5ad of any size, or from folders of 10x matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse

from features.cells.anndata_io import CellFile
from features.errors import SequelaError
from features.importers.delimited import MISSING
from features.importers.single_cell_spec import CellsSpec, SamplesSpec
from features.importers.tenx import TenXSample, find_tenx, read_tenx

Progress = Callable[[int, int], None]


class Part(NamedTuple):
    """Some cells of a sample."""

    sample_id: str
    values: scipy.sparse.csr_matrix
    """(cells, genes)."""
    obs: pd.DataFrame


class CellSource(Protocol):
    """Where cells come from."""

    @property
    def samples(self) -> Sequence[str]:
        """Their names."""

    @property
    def table(self) -> pd.DataFrame | None:
        """What obs says of the samples, a row each in their order, as text; None where it says nothing."""

    def genes(self) -> tuple[str, ...]:
        """Names of the columns."""

    def parts(self, progress: Progress | None = None) -> Iterator[Part]:
        """All cells, those of a sample one after the other."""


@dataclass(frozen=True, slots=True)
class TenXSource:
    """Folders of 10x matrices: one sample is in memory at a time."""

    found: list[TenXSample]

    @property
    def samples(self) -> Sequence[str]:
        """Names of files or folders."""
        return [sample.name for sample in self.found]

    @property
    def table(self) -> None:
        """Cell Ranger says nothing of samples."""
        return

    def genes(self) -> tuple[str, ...]:
        """Gene ids of the first sample."""
        return read_tenx(self.found[0]).gene_ids

    def parts(self, progress: Progress | None = None) -> Iterator[Part]:
        """A part a sample.

        Raises:
            SequelaError: A file is damaged, or samples have different genes.
        """
        genes: tuple[str, ...] | None = None
        for done, sample in enumerate(self.found, start=1):
            read = read_tenx(sample)
            if genes is not None and read.gene_ids != genes:
                rule = f"its {len(read.gene_ids)} genes are not those of {self.found[0].name}, in their order"
                msg = f"{sample.path}: {rule}; take matrices made with one reference"
                raise SequelaError(msg)
            genes = read.gene_ids
            yield Part(sample.name, read.counts, pd.DataFrame({"barcode": read.barcodes}))
            if progress is not None:
                progress(done, len(self.found))


@dataclass(frozen=True, slots=True)
class AnnDataSource:
    """An .h5ad, of which some cells are in memory at a time."""

    file: CellFile
    table: pd.DataFrame
    labelled: bool

    @property
    def samples(self) -> Sequence[str]:
        """Values of the column of samples."""
        return self.file.samples

    def genes(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.file.genes

    def parts(self, progress: Progress | None = None) -> Iterator[Part]:
        """Pieces of samples, as they are stored.

        Raises:
            SequelaError: The file is damaged.
        """
        done, total = 0, int(np.count_nonzero(self.file.sample >= 0))
        for sample in self.file.sample_rows():
            first = 0
            for rows in sample.parts:
                cells = sample.cells[first : first + len(rows)]
                shape = (len(rows), len(self.file.genes))
                values = scipy.sparse.csr_matrix((rows.values, rows.indices, rows.indptr), shape=shape)
                labels = self.file.cell_type[cells]
                texts = self.file.cell_types[labels]
                texts[labels < 0] = None
                obs = {"cell_type": texts} if self.labelled else {}
                yield Part(self.file.samples[sample.number], values, pd.DataFrame(obs, index=range(len(rows))))
                first += len(rows)
                done += len(rows)
                if progress is not None:
                    progress(done, total)


@contextmanager
def open_cells(source: Path, cells: CellsSpec, samples: SamplesSpec, wanted: Sequence[str]) -> Iterator[CellSource]:
    """Open cells.

    Args:
        source: An .h5ad, a 10x .h5, or a folder with 10x matrices in it or below it.
        cells: What the values are.
        samples: Which columns of obs say what.
        wanted: Columns of obs that `table` shall have.

    Raises:
        SequelaError: It cannot be read, or a column is missing.
    """
    if source.suffix != ".h5ad":
        if cells.matrix != "X" or cells.gene_names is not None or samples.cell_type is not None:
            msg = f"{source}: cells.matrix, cells.gene_names and samples.cell_type are of an .h5ad; leave them out"
            raise SequelaError(msg)
        yield TenXSource(find_tenx(source))
        return
    with TemporaryDirectory(prefix="sequela-") as beside:
        view = Path(beside) / source.name
        table = _link(source, view, cells, samples, wanted)
        with CellFile.open(view) as file:
            yield AnnDataSource(file, table, samples.cell_type is not None)


def _link(source: Path, view: Path, cells: CellsSpec, samples: SamplesSpec, wanted: Sequence[str]) -> pd.DataFrame:
    """Write an .h5ad in our names whose X is that of the source (an HDF5 external link), and return its samples.

    Raises:
        SequelaError: The file cannot be read, or a column is missing.
    """
    try:
        with h5py.File(source, "r") as stored:
            matrix, var = _places(stored, source, cells.matrix)
            names = _gene_names(stored, source, var, cells.gene_names)
            columns = {column: _texts(stored, source, column, samples.missing) for column in wanted}
            types = None if samples.cell_type is None else _texts(stored, source, samples.cell_type, samples.missing)
    except SequelaError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        msg = f"{source}: cannot be read as AnnData ({reason}); write it again with anndata 0.8 or newer"
        raise SequelaError(msg) from error
    obs = pd.DataFrame({"sample_id": columns[samples.sample_id or ""]})
    if types is not None:
        obs["cell_type"] = types
    with h5py.File(view, "w-") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        anndata.io.write_elem(file, "obs", obs.astype("category").set_axis(obs.index.astype(str)))
        anndata.io.write_elem(file, "var", pd.DataFrame(index=pd.Index(names, dtype=object)))
        file["X"] = h5py.ExternalLink(str(source.resolve()), matrix)
    return _one_row_a_sample(source.name, pd.DataFrame(columns), samples.sample_id or "")


def _places(stored: h5py.File, source: Path, matrix: str) -> tuple[str, str]:
    """Where matrix and var stand."""
    place = {"X": "X", "raw": "raw/X"}.get(matrix, f"layers/{matrix}")
    if place not in stored:
        layers = ", ".join(stored["layers"]) if "layers" in stored else ""
        msg = f"{source.name}: has no {place}; cells.matrix is X, raw or a layer ({layers or 'it has none'})"
        raise SequelaError(msg)
    return place, "raw/var" if matrix == "raw" else "var"


def _gene_names(stored: h5py.File, source: Path, var: str, column: str | None) -> list[str]:
    name = str(stored[var].attrs["_index"]) if column is None else column
    if name not in stored[var]:
        msg = f"{source.name}: var has no column {name!r}; it has {', '.join(stored[var])}. Correct cells.gene_names"
        raise SequelaError(msg)
    return [str(text) for text in anndata.io.read_elem(stored[var][name])]


def _texts(stored: h5py.File, source: Path, column: str, missing: Sequence[str]) -> pd.Series[Any]:
    """A column of obs as text, None where missing."""
    if column not in stored["obs"]:
        known = ", ".join(name for name in stored["obs"] if not name.startswith("_"))
        msg = f"{source.name}: obs has no column {column!r}; it has {known}. Correct the specification"
        raise SequelaError(msg)
    values = pd.Series(anndata.io.read_elem(stored["obs"][column]))
    codes, levels = pd.factorize(values)
    absent = {code.lower() for code in missing} | MISSING
    texts = [str(level).strip() for level in levels]
    kept = np.array([*(None if text.lower() in absent else text for text in texts), None], dtype=object)
    return pd.Series(kept[codes])


def _one_row_a_sample(name: str, obs: pd.DataFrame, sample: str) -> pd.DataFrame:
    """What obs says of each sample.

    Raises:
        SequelaError: The cells of a sample disagree.
    """
    obs = obs[obs[sample].notna()]
    rows = obs.drop_duplicates()
    again = rows[sample].duplicated(keep=False)
    if again.any():
        of_one = rows[rows[sample] == rows.loc[again, sample].iloc[0]]
        column = next(column for column in of_one if len(of_one[column].unique()) > 1)
        values = " and ".join(repr(value) for value in of_one[column].unique()[:2])
        msg = f"{name}: cells of sample {of_one[sample].iloc[0]!r} have {column} = {values}; a sample has one"
        raise SequelaError(f"{msg}. Correct obs, or name the column that tells samples apart")
    return rows.reset_index(drop=True)
