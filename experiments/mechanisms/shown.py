"""What was found, in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from experiments.cli.output import stdout, table_of
from experiments.mechanisms.analysis import Found
from experiments.mechanisms.lines import CHANGES, GENES, STATES, Row, change_rows, gene_rows, state_rows
from experiments.mechanisms.sentences import assumptions, findings

MOST_GENES = 15


def print_mechanisms(found: Found) -> None:
    """States, genes and changes, and what was found in words."""
    question, own = found.question, found.mechanisms
    card = question.rows.cohort.card
    title = (
        f"{question.cause} by day {own.asked.horizon_days:g}, {question.config.model.kind} "
        f"({len(own.rows):,} {card.provenance} rows: {card.title})"
    )
    stdout.print(title, highlight=False, markup=False, soft_wrap=True)
    _print("Cells", STATES, state_rows(found))
    _print(
        f"The first {min(MOST_GENES, len(own.genes))} of {len(own.genes):,} genes", GENES, gene_rows(found, MOST_GENES)
    )
    if own.asked.changes:
        _print("Changed cells", CHANGES, change_rows(found))
    for sentence in (*findings(found), *assumptions(found)):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _print(title: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    table = table_of(title, columns[:1], columns[1:])
    for row in rows:
        table.add_row(*row)
    stdout.print(table)
