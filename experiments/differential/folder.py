"""What a comparison leaves behind: its tables, and a page."""

from __future__ import annotations

from pathlib import Path

from experiments.differential.analysis import Differential
from experiments.differential.page import differential_page
from experiments.page.shell import write_page
from features.cohort import new_folder

PAGE = "index.html"


def write_differential(folder: Path, found: Differential) -> None:
    """Write ``abundance.csv``, ``expression.csv``, ``pathways.csv`` and ``index.html``, all or nothing; no empty table.

    Raises:
        SequelaError: `folder` exists and is not empty, or cannot be written.
    """
    tables = {"abundance": found.abundance, "expression": found.expression, "pathways": found.pathways}
    with new_folder(folder) as beside:
        for name, table in tables.items():
            if not table.empty:
                table = table.assign(data=found.question.cohort.card.provenance)
                ordered = table[["data", *table.columns.drop("data")]]
                ordered.to_csv(beside / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
        write_page(beside / PAGE, differential_page(found))
