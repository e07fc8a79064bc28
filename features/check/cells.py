"""The rules of the file of cells. What reads it is imported when there is one: it takes seconds, and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.cells.genes import MINIMUM_HUMAN, canonical, panel
from features.check.findings import Findings
from features.schema import CellsCard

if TYPE_CHECKING:
    from features.cells.anndata_io import CellFile

Progress = Callable[[int, int], None]
NAMES = ("cells.h5ad", "cells.zarr")


def find_cells(folder: Path, findings: Findings) -> Path | None:
    """The file of cells of a cohort folder, if it has one."""
    there = [folder / name for name in NAMES if (folder / name).exists()]
    if len(there) > 1:
        findings.add("ambiguous-file", there[0].name, other=there[1].name)
        return None
    return there[0] if there else None


def check_cells(
    path: Path, card: CellsCard, samples: Iterable[str] | None, findings: Findings, progress: Progress | None = None
) -> None:
    """Check the samples, the genes and every value of a file of cells, block by block.

    Args:
        path: cells.h5ad or cells.zarr.
        card: What its values and genes are declared to be.
        samples: Identifiers of the samples table; None when it cannot be read.
        findings: Where findings go.
        progress: Called with the blocks done and the blocks in all.
    """
    from features.cells.anndata_io import CellFile, CellFileError
    from features.cells.probe import require_readable

    try:
        require_readable(path)
        with CellFile.open(path) as cells:
            if not cells.n_cells or not cells.genes:
                findings.add("no-cells", path.name, what="genes" if cells.n_cells else "cells")
                return
            _check_samples(cells, None if samples is None else list(samples), findings)
            _check_genes(cells, card, findings)
            _check_values(cells, card, findings, progress)
    except CellFileError as error:
        if error.code == "missing-column":
            findings.add("missing-column", path.name, field="obs.sample_id", near="")
        else:
            findings.add("unreadable-cells", path.name, why=error.rule, remedy=error.remedy)


def _check_samples(cells: CellFile, samples: list[str] | None, findings: Findings) -> None:
    n_cells = np.bincount(cells.sample + 1, minlength=len(cells.samples) + 1)
    if n_cells[0]:
        findings.add("missing-sample", cells.path.name, field="obs.sample_id", n=f"{n_cells[0]:,}")
    if samples is None:
        return
    known = set(samples)
    for sample, n in zip(cells.samples, n_cells[1:], strict=True):
        if sample not in known:
            findings.add("cells-without-sample", cells.path.name, field="obs.sample_id", value=sample, n=f"{n:,}")
    with_cells = set(cells.samples)
    for sample in samples:
        if sample not in with_cells:
            findings.add("sample-without-cells", cells.path.name, field="obs.sample_id", value=sample)


def _check_genes(cells: CellFile, card: CellsCard, findings: Findings) -> None:
    human = card.genes == "genes"
    names = [canonical(gene) for gene in cells.genes] if human else list(cells.genes)
    for name, n in Counter(names).items():
        if n > 1:
            findings.add("duplicate-gene", cells.path.name, field="var", value=name, n=n)
    if not human:
        return
    judged = panel(names)
    if not judged.is_human:
        remedy = (
            f"At least {MINIMUM_HUMAN:.0%} must be human gene symbols or Ensembl ids, in the index of var: put them "
            "there, map the genes to human ones, or declare `cells: {genes: markers}`."
        )
        findings.add("foreign-genes", cells.path.name, field="var", why=f"Only {judged}.", remedy=remedy)
    elif judged.is_mixed:
        findings.add("mixed-genes", cells.path.name, field="var", why=f"{judged}.")


def _check_values(cells: CellFile, card: CellsCard, findings: Findings, progress: Progress | None) -> None:
    counts = card.values == "counts"
    n_bad, example = 0, None
    for block in cells.blocks(progress):
        bad = ~np.isfinite(block.value)
        if counts:
            bad |= (block.value < 0) | (block.value != np.floor(block.value))
        if bad.any():
            first = int(np.argmax(bad))
            example = example or (block.cell[first], block.gene[first], block.value[first])
            n_bad += int(bad.sum())
    if example is None:
        return
    cell, gene, value = example
    what = "raw counts (whole numbers, not negative)" if counts else "finite intensities"
    remedy = "Put raw counts into X, or declare `cells: {values: intensities}`." if counts else "Remove these cells."
    field = f"X[{cell}, {cells.genes[gene]}]"
    findings.add(
        "bad-counts", cells.path.name, field=field, value=f"{value:g}", what=what, n=f"{n_bad:,}", remedy=remedy
    )
