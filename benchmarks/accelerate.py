"""The heavy steps on cells: numpy, torch on the CPU, and torch on CUDA where there is a device.

One seeded sample of 20,000 genes with about 1,000 non-zero counts a cell; the best of three runs each, after one to
warm up; times include the way to the device and back. Results are compared before they are timed. Writes
``results/accelerate.md``.

    python benchmarks/accelerate.py --cells 20000
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from features.cells.accelerate import Accelerator
from features.cells.bag import CellBag
from features.cells.density import DensityEmbedding
from features.cells.embedding import CellPca
from features.cells.summary import summarise

RESULTS = Path(__file__).parent / "results"
N_GENES = 20_000
N_VARIABLE = 2_000
COUNTS = 1_350
"""Of a cell; they fall on about 1,000 genes."""
N_TYPES = 10
SEED = 20_240_601
TOLERANCE = 1e-5
"""Largest difference allowed, relative to the largest value."""


def draw_bag(n_cells: int, rng: np.random.Generator) -> CellBag:
    """Cells of several types, whose genes are expressed by a log-normal law."""
    shared = 1.6 * rng.standard_normal(N_GENES)
    edges = [np.cumsum(np.exp(shared + 0.5 * rng.standard_normal(N_GENES))) for _ in range(N_TYPES)]
    kind = rng.integers(0, N_TYPES, n_cells)
    indices, values, lengths = [], [], []
    for k in kind:
        genes = np.searchsorted(edges[k], rng.random(COUNTS) * edges[k][-1])
        found, count = np.unique(np.minimum(genes, N_GENES - 1), return_counts=True)
        indices.append(found)
        values.append(count)
        lengths.append(len(found))
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    labels = np.array([f"type {k}" for k in kind], dtype=object)
    genes = tuple(f"gene {i}" for i in range(N_GENES))
    return CellBag(genes, indptr, np.concatenate(indices), np.concatenate(values).astype(float), labels)


def best_of(run: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest run, after one to warm up."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def require_equal(name: str, ours: NDArray[np.floating[Any]], theirs: NDArray[np.floating[Any]]) -> float:
    """The largest difference, relative to the largest value."""
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if difference > TOLERANCE:
        sys.exit(f"{name}: differs from numpy by {difference:.1e}, more than {TOLERANCE:.0e}")
    return difference


def measure(bag: CellBag) -> list[str]:
    """Rows of a table: step, way, cells per second, and the difference to numpy."""
    genes = bag.genes[:: N_GENES // N_VARIABLE]
    start = time.perf_counter()
    embedding = DensityEmbedding.fit([bag, bag], genes=genes, counts=True, n_cell_components=30, max_cells=4_000)
    print(f"fit: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    pca: CellPca = embedding.pca
    steps: dict[str, tuple[Callable[[], Any], Callable[[Accelerator], Any]]] = {
        "normalise and sum by type": (
            lambda: summarise(bag, counts=True).lognorm,
            lambda on: on.summarise(bag, counts=True).lognorm,
        ),
        "principal components": (lambda: pca.transform(bag), lambda on: on.project(pca, bag)),
        "density (random features)": (lambda: embedding.means(bag), lambda on: on.means(embedding, bag)),
    }
    ways = {"torch, CPU": torch.device("cpu")}
    if torch.cuda.is_available():
        ways["torch, CUDA"] = torch.device("cuda")
    rows = []
    for step, (numpys, torchs) in steps.items():
        expected = numpys()
        rows.append(f"| {step} | numpy | {len(bag) / best_of(numpys):,.0f} | |")
        for way, target in ways.items():
            on = Accelerator(target)
            difference = require_equal(f"{step}, {way}", torchs(on), expected)
            seconds = best_of(lambda run=torchs, on=on: run(on))
            rows.append(f"| {step} | {way} | {len(bag) / seconds:,.0f} | {difference:.0e} |")
    return rows


def page(rows: list[str], bag: CellBag) -> str:
    """The results as Markdown."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none, so that CUDA was not measured"
    return "\n".join(
        [
            "# The heavy steps on cells",
            "",
            f"One sample of {len(bag):,} cells and {N_GENES:,} genes, {len(bag.values) / len(bag):,.0f} counts",
            f"other than 0 a cell; {N_VARIABLE:,} variable genes, 30 components, 512 frequencies. float32; the",
            "difference is to numpy, relative to the largest value.",
            f"Measured on {platform.machine()}, {os.cpu_count()} cores shared with other work,",
            f"{torch.get_num_threads()} thread(s) for each way; GPU: {gpu}.",
            f"Python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__};",
            "made by `python benchmarks/accelerate.py`.",
            "",
            "| step | way | cells/s | difference |",
            "|---|---|---:|---:|",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    options = parser.parse_args()
    bag = draw_bag(options.cells, np.random.default_rng(SEED))
    text = page(measure(bag), bag)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "accelerate.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
