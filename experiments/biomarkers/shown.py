"""A screen in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from experiments.biomarkers.analysis import Screen
from experiments.biomarkers.lines import TESTED, Row, further_columns, further_rows, tested_rows
from experiments.biomarkers.sentences import assumptions, findings
from experiments.cli.output import stdout
from experiments.page.privacy import OPEN

MOST_ROWS = 15


def print_screen(screen: Screen) -> None:
    """The leading markers of each cause, and what was found in words."""
    question = screen.question
    card = question.cohort.card
    title = (
        f"{question.endpoint.name}: {len(screen.matrix.markers):,} markers known by day {question.landmark_day:g} "
        f"({len(question.outcomes):,} {card.provenance} patients: {card.title})"
    )
    stdout.print(title, highlight=False, markup=False, soft_wrap=True)
    for of in screen.causes:
        first = of.order[:MOST_ROWS]
        caption = f"{of.name}: the first {len(first)} of {len(of.tested):,} markers by p"
        stdout.print(_table(caption, TESTED, tested_rows(screen, of, first, OPEN)))
        columns = further_columns(screen)
        if len(columns) > 1:
            stdout.print(_table(f"{of.name}: the same markers", columns, further_rows(screen, of, first)))
    for sentence in (*findings(screen), *assumptions(screen)):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", box=None, min_width=len(title), pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=bool(i), overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
