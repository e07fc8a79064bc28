"""Streaming: a zarr store of single cells becomes stored sample features, in bounded memory.

Generates a seeded AnnData store (zarr v3, zstd, 200 samples, 10 cell types, 20,000 genes, about 1,000 non-zero counts a
cell), builds a feature store from it with worker processes, and measures time, cells per second and peak resident
memory (this process and its workers, summed, above what this process held before). Once as the cells are, once with
quality control. The generated store is dropped from the page cache before each build, and the build includes its
checksum. Writes ``results/cell_streaming.md``. The full run needs about 20 GB of disk, which are freed at the end.

    python benchmarks/cell_streaming.py FOLDER
    python benchmarks/cell_streaming.py FOLDER --cells 100000 --results elsewhere.md
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anndata
import numpy as np
import pandas as pd
import psutil
import zarr
from numpy.typing import NDArray

from features.cells.processing import CellProcessing
from features.cells.store import build
from features.schema import CellsCard

RESULTS = Path(__file__).parent / "results"
N_GENES = 20_000
N_TYPES = 10
CHUNK_VALUES = 1 << 19
"""Values of a chunk: 2 MiB of float32."""
CELLS_AT_ONCE = 2_000
TABLE_SIZE = 1 << 20
NON_ZERO = 1_000
SEED = 20_240_601
TARGET_CELLS_PER_SECOND = 20_000
TARGET_MEMORY_GIB = 2.0


def expression_tables(rng: np.random.Generator) -> NDArray[np.int32]:
    """(types, table): genes by quantile of the expression profile of each cell type, ascending."""
    shared = 1.6 * rng.standard_normal(N_GENES)
    tables = []
    for _ in range(N_TYPES):
        profile = np.exp(shared + 0.5 * rng.standard_normal(N_GENES))
        edges = np.cumsum(profile) / profile.sum()
        tables.append(np.searchsorted(edges, (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE))
    return np.minimum(np.array(tables), N_GENES - 1).astype(np.int32)


def draw_cells(
    table: NDArray[np.int32], cell_type: NDArray[np.int64], depth: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Counts of cells: values per cell, genes and counts; molecules are drawn by stratified sampling of the profile."""
    molecules = np.maximum(50, (depth * rng.lognormal(0.0, 0.35, len(cell_type))).astype(np.int64))
    cell = np.repeat(np.arange(len(cell_type)), molecules)
    starts = np.cumsum(molecules) - molecules
    quantile = (np.arange(len(cell)) - starts[cell] + rng.random(len(cell))) / molecules[cell]
    flat = (cell_type * TABLE_SIZE)[cell] + (quantile * TABLE_SIZE).astype(np.int64)
    gene = table.ravel()[flat]
    first = np.flatnonzero(np.concatenate([[True], (np.diff(gene) != 0) | (np.diff(cell) != 0)]))
    counts = np.diff(np.append(first, len(gene))).astype(np.float32)
    return np.bincount(cell[first], minlength=len(cell_type)), gene[first], counts


def molecules_for(non_zero: int, table: NDArray[np.int32]) -> float:
    """Median number of molecules a cell that gives about this many non-zero genes, by bisection."""
    low, high = float(non_zero), 40.0 * non_zero
    for _ in range(20):
        depth = (low * high) ** 0.5
        rng = np.random.default_rng(0)
        sizes, _, _ = draw_cells(table, rng.integers(0, N_TYPES, 200), depth, rng)
        low, high = (depth, high) if sizes.mean() < non_zero else (low, depth)
    return float((low * high) ** 0.5)


class Appender:
    """A one-dimensional zarr array that grows at its end, chunk by chunk."""

    def __init__(self, group: zarr.Group, name: str, dtype: str) -> None:
        self.array = group.create_array(name, shape=(0,), chunks=(CHUNK_VALUES,), dtype=dtype)  # zstd is zarr's default
        self.array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        self.waiting: list[NDArray[Any]] = []
        self.length = 0

    def add(self, values: NDArray[Any]) -> None:
        """Append values; whole chunks are written, the rest waits."""
        self.waiting.append(values)
        if sum(map(len, self.waiting)) >= 8 * CHUNK_VALUES:
            self.write(whole_chunks=True)

    def write(self, *, whole_chunks: bool) -> None:
        """Write what waits; a part of a chunk only at the very end."""
        values = np.concatenate(self.waiting)
        stop = len(values) // CHUNK_VALUES * CHUNK_VALUES if whole_chunks else len(values)
        self.array.resize((self.length + stop,))
        self.array[self.length :] = values[:stop]
        self.length += stop
        self.waiting = [values[stop:]]


def cell_blocks(n_cells: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[Any], ...]]:
    """Cell types, values per cell, genes and counts of some cells at a time."""
    table = expression_tables(rng)
    depth = molecules_for(NON_ZERO, table)
    for start in range(0, n_cells, CELLS_AT_ONCE):
        cell_type = rng.integers(0, N_TYPES, min(CELLS_AT_ONCE, n_cells - start))
        yield cell_type, *draw_cells(table, cell_type, depth, rng)


def generate(path: Path, n_cells: int, n_samples: int, seed: int = SEED) -> int:
    """Write an AnnData store of simulated counts, never held whole; returns the number of its values.

    Args:
        path: The store, ending in .zarr.
        n_cells: Number of cells; samples share them equally.
        n_samples: Number of samples, contiguous.
        seed: Of the generator.
    """
    rng = np.random.default_rng(seed)
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    matrix = root.create_group("X")
    matrix.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_cells, N_GENES]})
    data, indices = Appender(matrix, "data", "float32"), Appender(matrix, "indices", "int32")
    types, sizes = [], []
    for cell_type, size, gene, count in cell_blocks(n_cells, rng):
        types.append(cell_type)
        sizes.append(size)
        indices.add(gene)
        data.add(count)
    indices.write(whole_chunks=False)
    data.write(whole_chunks=False)
    indptr = Appender(matrix, "indptr", "int64")
    indptr.add(np.concatenate([[0], np.cumsum(np.concatenate(sizes))]))
    indptr.write(whole_chunks=False)
    sample = np.arange(n_cells) * n_samples // n_cells
    names = pd.Index([f"sample_{i:04d}" for i in range(n_samples)])
    labels = pd.Index([f"type {i}" for i in range(N_TYPES)])
    obs = pd.DataFrame(
        {
            "sample_id": pd.Categorical.from_codes(sample, names),
            "cell_type": pd.Categorical.from_codes(np.concatenate(types), labels),
        },
        index=pd.Index(np.char.mod("cell%d", np.arange(n_cells)), dtype=object),
    )
    anndata.io.write_elem(root, "obs", obs)
    anndata.io.write_elem(root, "var", pd.DataFrame(index=pd.Index([f"GENE{i}" for i in range(N_GENES)], dtype=object)))
    return data.length


class PeakMemory:
    """Peak resident memory of this process and those it starts, summed; pages they share count more than once."""

    def __init__(self, every_seconds: float = 0.05) -> None:
        self.peak_bytes = 0
        self._process = psutil.Process()
        self._every_seconds = every_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def now(self) -> int:
        """Resident memory at this moment, in bytes."""
        total = 0
        for process in (self._process, *self._process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has ended
                total += process.memory_info().rss
        return total

    def _watch(self) -> None:
        while not self._done.wait(self._every_seconds):
            self.peak_bytes = max(self.peak_bytes, self.now())

    def __enter__(self) -> Self:
        self.baseline_bytes = self.now()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()


@dataclass(frozen=True, slots=True)
class Measured:
    """One build."""

    name: str
    n_cells: int
    seconds: float
    above_baseline_gib: float
    store_gb: float
    again_seconds: float
    load: float
    """Mean number of running processes in the minute before: above 0, others were at work."""

    @property
    def cells_per_second(self) -> float:
        """Cells of the file by time."""
        return self.n_cells / self.seconds


def forget(path: Path) -> None:
    """Drop a folder's files from the page cache."""
    for file in (file for file in path.rglob("*") if file.is_file()):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measure(name: str, cells: Path, n_cells: int, workers: int, processing: CellProcessing | None) -> Measured:
    """Build a store beside the cells, find it again, and remove it."""
    root = cells.parent / "store"
    load = os.getloadavg()[0]
    forget(cells)
    with PeakMemory() as memory:
        start = time.perf_counter()
        store = build(cells, root, CellsCard(genes="markers"), processing, workers=workers)
        seconds = time.perf_counter() - start
    start = time.perf_counter()
    build(cells, root, CellsCard(genes="markers"), processing).summary()
    again = time.perf_counter() - start
    size = sum(file.size_bytes for file in store.manifest.files.values())
    above = (memory.peak_bytes - memory.baseline_bytes) / 2**30
    del store
    shutil.rmtree(root)
    return Measured(name, n_cells, seconds, above, size / 1e9, again, load)


def machine() -> str:
    """What this runs on, in words."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB memory, Python {platform.python_version()}, CPU only"


def page(rows: list[Measured], n_values: int, n_samples: int, source_gb: float, workers: int) -> str:
    """The page of results."""
    n_cells = rows[0].n_cells
    table = "\n".join(
        f"| {row.name} | {row.seconds:.0f} | {row.cells_per_second:,.0f} | {row.above_baseline_gib:.2f} | "
        f"{row.store_gb:.2f} | {row.again_seconds:.1f} | {row.load:.1f} |"
        for row in rows
    )
    return f"""# Streaming single cells into a feature store

{n_cells:,} cells × {N_GENES:,} genes, {n_values / n_cells:,.0f} non-zero counts a cell, {n_samples} samples, {N_TYPES}
cell types; zarr v3, zstd, {source_gb:.1f} GB on disk, not in the page cache. {workers} worker processes. Measured on
{machine()}, zarr {zarr.__version__}, numpy {np.__version__}; made by `python benchmarks/cell_streaming.py FOLDER`.

| build | seconds | cells/s | peak memory above baseline, GiB | store, GB | found again, s | load before |
|---|---|---|---|---|---|---|
{table}

A build takes the checksum of the file, reads and checks every value, sums by sample and cell type, and writes cells and
sums with their checksums. Memory is the resident memory of this process and its workers, summed. "Quality control"
passes each sample, held whole, through the processing of cells (here: at least 200 counts and 100 genes).
Targets: {TARGET_CELLS_PER_SECOND:,} cells/s, {TARGET_MEMORY_GIB:g} GiB.
"""


def main() -> int:
    """Generate, measure, write the results; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to put the cells and the store; both are removed again")
    parser.add_argument("--cells", type=int, default=2_000_000)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS / "cell_streaming.md")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        cells = Path(folder) / "cells.zarr"
        n_values = generate(cells, options.cells, options.samples)
        source_gb = sum(file.stat().st_size for file in cells.rglob("*") if file.is_file()) / 1e9
        configurations = {"as they are": None, "quality control": CellProcessing(min_counts=200, min_genes=100)}
        rows = []
        for name, processing in configurations.items():
            rows.append(measure(name, cells, options.cells, options.workers, processing))
            print(rows[-1], file=sys.stderr)
    options.results.write_text(page(rows, n_values, options.samples, source_gb, options.workers), encoding="utf-8")
    print(options.results.read_text(encoding="utf-8"))
    fast = all(row.cells_per_second >= TARGET_CELLS_PER_SECOND for row in rows)
    return int(not (fast and all(row.above_baseline_gib < TARGET_MEMORY_GIB for row in rows)))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what zarr says of its own formats
        sys.exit(main())
