"""Loading: shuffled training batches from the feature store, and from the loaders that others use, in one run.

The same generated cells (`cell_streaming.generate`) lie in a feature store and, uncompressed, in an .h5ad file, which
is what AnnLoader (anndata) and scDataset read. Every loader runs in this process, without workers, on warm files.
Writes ``results/cell_loading.md``. Needs ``pip install scDataset==0.3.0`` and 4 GB of disk, freed at the end.

    python benchmarks/cell_loading.py FOLDER
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import torch
from anndata.experimental import AnnLoader
from cell_streaming import N_GENES, RESULTS, generate, machine
from scdataset import BlockShuffling, scDataset

from features.cells.store import CellStore, build
from features.schema import CellsCard

BATCH_SIZE = 512
REPEATS = 3
LONGEST_SECONDS = 60.0
"""After this a loader is stopped, and its rate taken from what it gave."""
TARGET_CELLS_PER_SECOND = 150_000
OURS = "feature store, block 64: as stored"

Loader = Callable[[], Iterator[int]]
"""One epoch: gives the number of cells of each batch."""


def from_store(store: CellStore, block: int, finish: Callable[[Any], object] | None = None) -> Loader:
    """Batches of the store as they are stored, or after `finish`."""
    seeds = iter(range(1_000))

    def epoch() -> Iterator[int]:
        for batch in store.batches(BATCH_SIZE, block, next(seeds)):
            if finish is not None:
                finish(batch)
            yield len(batch)

    return epoch


def as_torch_sparse(batch: Any) -> torch.Tensor:  # noqa: ANN401 - a CellBatch
    """A sparse float32 tensor of torch, as a model takes it."""
    parts = (
        torch.from_numpy(batch.indptr),
        torch.from_numpy(batch.indices.astype(np.int64)),
        torch.from_numpy(batch.values.astype(np.float32)),
    )
    return torch.sparse_csr_tensor(*parts, size=(len(batch), N_GENES), check_invariants=False)


def from_scdataset(path: Path, block: int, fetch: int) -> Loader:
    """Batches of scDataset as sparse matrices of scipy, from a file opened for the purpose."""
    cells = anndata.read_h5ad(path, backed="r")

    def read(cells: anndata.AnnData, which: Any) -> Any:  # noqa: ANN401 - indices in, a sparse matrix out
        return cells.X[which]

    def epoch() -> Iterator[int]:
        strategy = BlockShuffling(block_size=block)
        loader = torch.utils.data.DataLoader(
            scDataset(cells, strategy, batch_size=BATCH_SIZE, fetch_factor=fetch, fetch_callback=read), batch_size=None
        )
        for batch in loader:
            yield batch.shape[0]

    return epoch


def from_annloader(path: Path) -> Loader:
    """Batches of AnnLoader, dense, from a file opened for the purpose."""
    cells = anndata.read_h5ad(path, backed="r")

    def epoch() -> Iterator[int]:
        for batch in AnnLoader(cells, batch_size=BATCH_SIZE, shuffle=True, use_default_converter=True):
            yield batch.X.shape[0]

    return epoch


def rate(loader: Loader) -> float:
    """Cells a second of one epoch, or of its first seconds."""
    n_cells, start = 0, time.perf_counter()
    for n in loader():
        n_cells += n
        if time.perf_counter() - start > LONGEST_SECONDS:
            break
    return n_cells / (time.perf_counter() - start)


def measure(loaders: dict[str, Loader]) -> dict[str, list[float]]:
    """Rates of all loaders, in rounds, so that whatever else the machine does meets all; the first round warms up."""
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for number in range(REPEATS + 1):
        for name, loader in loaders.items():
            found = rate(loader)
            print(f"round {number}: {name}: {found:,.0f} cells/s", file=sys.stderr, flush=True)
            if number:
                rates[name].append(found)
    return rates


def page(rates: dict[str, list[float]], n_cells: int, n_values: int, loads: tuple[float, float]) -> str:
    """The page of results."""
    table = "\n".join(
        f"| {name} | {statistics.median(found):,.0f} | {min(found):,.0f} to {max(found):,.0f} |"
        for name, found in rates.items()
    )
    return f"""# Loading shuffled training batches of single cells

{n_cells:,} cells × {N_GENES:,} genes, {n_values / n_cells:,.0f} non-zero counts a cell, batches of {BATCH_SIZE}, one
process, files in the page cache. Median and range of {REPEATS} epochs (at most {LONGEST_SECONDS:g} s each). Measured on
{machine()}, torch {torch.__version__}, anndata {anndata.__version__}, scDataset {version("scDataset")};
load average {loads[0]:.1f} before and {loads[1]:.1f} after.
Made by `python benchmarks/cell_loading.py FOLDER`.

| loader | cells/s | range |
|---|---|---|
{table}

Blocks are neighbouring cells that are read together; the feature store shuffles them in a buffer of 16,384 cells, and
scDataset in one of "fetch" batches. "As stored" is CSR with uint16 indices and the smallest type of values that holds
them; scDataset gives float32 CSR of scipy, AnnLoader dense float32 of torch.
Target: {TARGET_CELLS_PER_SECOND:,} cells/s for the first row.
"""


def main() -> int:
    """Generate, measure, write the results; 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to put the cells and the store; both are removed again")
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--results", type=Path, default=RESULTS / "cell_loading.md")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        cells, h5ad = Path(folder) / "cells.zarr", Path(folder) / "cells.h5ad"
        n_values = generate(cells, options.cells, options.samples)
        anndata.read_zarr(cells).write_h5ad(h5ad)
        store = build(cells, Path(folder) / "store", CellsCard(genes="markers"))
        rates = measure(
            {
                OURS: from_store(store, 64),
                "feature store, block 16: as stored": from_store(store, 16),
                "feature store, block 64: torch sparse float32": from_store(store, 64, as_torch_sparse),
                "feature store, block 64: dense float32": from_store(store, 64, lambda batch: batch.dense()),
                "scDataset, block 512, fetch 32": from_scdataset(h5ad, 512, 32),
                "scDataset, block 64, fetch 64": from_scdataset(h5ad, 64, 64),
                "scDataset, block 16, fetch 256": from_scdataset(h5ad, 16, 256),
                "AnnLoader, backed: dense": from_annloader(h5ad),
            }
        )
    text = page(rates, options.cells, n_values, (load, os.getloadavg()[0]))
    options.results.write_text(text, encoding="utf-8")
    print(text)
    return int(statistics.median(rates[OURS]) < TARGET_CELLS_PER_SECOND)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what zarr, anndata and torch say of their own formats
        sys.exit(main())
