"""Rows of tables for people."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from experiments.differential.analysis import Differential
from experiments.interval_text import interval_text
from experiments.page.privacy import SMALLEST, WITHHELD, Disclosure
from experiments.page.tables import number, p_value

Row = tuple[str, ...]
WITHIN = ("material", "cell type", "patients")


def abundance_columns(found: Differential) -> Row:
    """Headings of `abundance_rows`."""
    first, second = found.question.names
    return (*WITHIN, f"share: {first}", f"share: {second}", "log₂ fold change", "p", "q")


def abundance_rows(found: Differential, table: pd.DataFrame, shown: Disclosure) -> list[Row]:
    """One row for each cell type."""
    return [
        (
            *_within(found, row, shown),
            *(_share(row[f"share_{one}"], int(row[f"n_{one}"]), shown) for one in ("reference", "other")),
            interval_text(row["log2_fold_change"], row["low"], row["high"], digits=2),
            p_value(row["p"]),
            p_value(row["q"]),
        )
        for _, row in table.iterrows()
    ]


def expression_columns(found: Differential) -> Row:
    """Headings of `expression_rows`."""
    counts = found.effect == "log2_fold_change"
    effects = ("log₂ fold change", "shrunken") if counts else ("difference",)
    return ("gene" if counts else "marker", *WITHIN, "mean", *effects, "p", "q")


def expression_rows(found: Differential, table: pd.DataFrame, shown: Disclosure) -> list[Row]:
    """One row for each gene of a cell type."""
    rows = []
    for _, row in table.iterrows():
        effects = [interval_text(row[found.effect], row["low"], row["high"], digits=2)]
        effects += [f"{row['shrunken']:.2f}"] if "shrunken" in row else []
        end = (number(row["mean"]), *effects, p_value(row["p"]), p_value(row["q"]))
        rows.append((str(row["gene"]), *_within(found, row, shown), *end))
    return rows


PATHWAY_COLUMNS = ("pathway", *WITHIN, "genes", "enrichment", "difference of activity", "p", "q")


def pathway_rows(found: Differential, table: pd.DataFrame, shown: Disclosure) -> list[Row]:
    """One row for each set and cell type."""
    return [
        (
            str(row["set"]),
            *_within(found, row, shown),
            f"{row['n_genes']}",
            f"{row['enrichment']:.2f}",
            interval_text(row["difference"], row["low"], row["high"], digits=2),
            p_value(row["p"]),
            p_value(row["q"]),
        )
        for _, row in table.iterrows()
    ]


def _within(found: Differential, row: pd.Series, shown: Disclosure) -> Row:
    """Cells of `WITHIN`; where a group is small itself, the other number would tell how small."""
    counts, sizes = (int(row["n_reference"]), int(row["n_other"])), found.question.sizes
    if any(map(shown.small, sizes)):
        patients = shown.parts(counts)
    else:
        patients = [_measured(n, of, shown) for n, of in zip(counts, sizes, strict=True)]
    return str(row["material"]), str(row["cell_type"]), " + ".join(patients)


def _share(median: float, n: int, shown: Disclosure) -> str:
    """The median of few patients is near the share of one of them."""
    return WITHHELD if shown.small(n) else f"{median:.1%}"


def _measured(n: int, of_all: int, shown: Disclosure) -> str:
    """Patients with cells, unless a small number of them, or of the others, would follow."""
    if shown.small(n):
        return shown.count(n)
    return f"≥{max(of_all - SMALLEST + 1, SMALLEST)}" if shown.small(of_all - n) else f"{n:,}"


def sizes_text(found: Differential, shown: Disclosure) -> Sequence[str]:
    """Patients of each group."""
    return shown.parts(found.question.sizes)
