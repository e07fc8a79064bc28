"""What was found, in the terminal."""

from __future__ import annotations

from experiments.cli.output import stdout, table_of
from experiments.mechanisms.analysis import Found
from experiments.mechanisms.lines import CHANGES, GENES, STATES, change_rows, gene_rows, state_rows
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
    stdout.print(table_of("Cells", STATES[:1], STATES[1:], state_rows(found)))
    title = f"The first {min(MOST_GENES, len(own.genes))} of {len(own.genes):,} genes"
    stdout.print(table_of(title, GENES[:1], GENES[1:], gene_rows(found, MOST_GENES)))
    if own.asked.changes:
        stdout.print(table_of("Changed cells", CHANGES[:1], CHANGES[1:], change_rows(found)))
    for sentence in (*findings(found), *assumptions(found)):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)
