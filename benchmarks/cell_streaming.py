"""Streaming: a zarr store of single cells becomes stored sample features, in bounded memory.

Generates a seeded AnnData store (zarr v3, zstd, 200 samples, 10 cell types, 20,000 genes, about 1,000 non-zero counts a
cell), builds a feature store from it with worker processes, and measures time, cells per second and peak resident
memory (this process and its workers, summed, above what this process held before). Writes
``results/cell_streaming.md``. The 2,000,000 cells of the full run need about 20 GB of disk, which are freed at the end.

    python benchmarks/cell_streaming.py FOLDER --cells 100000
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import anndata
import numpy as np
import pandas as pd
import psutil
import zarr
from numpy.typing import NDArray

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
    return (low * high) ** 0.5


class Appender:
    """A one-dimensional zarr array that grows at its end, chunk by chunk."""

    def __init__(self, group: zarr.Group, name: str, dtype: str) -> None:
        self.array = group.create_array(name, shape=(0,), chunks=(CHUNK_VALUES,), dtype=dtype)  # zstd is zarr's default
        self.array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        self.waiting: list[NDArray[np.generic]] = []
        self.length = 0

    def add(self, values: NDArray[np.generic]) -> None:
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


def cell_blocks(n_cells: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], NDArray[np.generic], ...]]:
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
