"""A comparison in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from experiments.cli.output import stdout
from experiments.differential.analysis import Differential
from experiments.differential.lines import (
    PATHWAY_COLUMNS,
    WITHIN,
    Row,
    abundance_columns,
    abundance_rows,
    expression_columns,
    expression_rows,
    pathway_rows,
)
from experiments.differential.sentences import assumptions, findings
from experiments.page.privacy import OPEN

MOST_ROWS = 15


def print_differential(found: Differential) -> None:
    """The leading rows of each table, and what was found in words."""
    question = found.question
    card = question.cohort.card
    groups = " against ".join(f"{name} ({n})" for name, n in zip(question.names, question.sizes, strict=True))
    title = f"{question.by}: {groups}, {card.provenance} patients: {card.title}"
    stdout.print(title, highlight=False, markup=False, soft_wrap=True)
    _table("Cell types by q", abundance_columns(found), abundance_rows(found, found.abundance, OPEN), 2)
    first = found.expression.head(MOST_ROWS)
    columns = expression_columns(found)
    _table(
        f"Expression: the first {len(first)} of {len(found.expression):,}", columns, expression_rows(found, first, OPEN)
    )
    first = found.pathways.head(MOST_ROWS)
    title = f"Pathways: the first {len(first)} of {len(found.pathways):,}"
    _table(title, PATHWAY_COLUMNS, pathway_rows(found, first, OPEN))
    for sentence in (*findings(found), *assumptions(found)):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _table(title: str, columns: Sequence[str], rows: Sequence[Row], n_text: int = len(WITHIN)) -> None:
    """Print a table, if it has rows."""
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=None, min_width=len(title), pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < n_text else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    stdout.print(table)
