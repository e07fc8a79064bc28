"""A screen in the terminal."""

from __future__ import annotations

from rich.table import Table

from experiments.biomarkers.analysis import CauseScreen, Screen
from experiments.biomarkers.lines import COLUMNS, rows_of
from experiments.biomarkers.sentences import assumptions, findings
from experiments.cli.output import stdout
from experiments.page.privacy import Disclosure

MOST_ROWS = 15
OPEN = Disclosure(guarded=False, individual_lines=True)


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
        stdout.print(_table(screen, of))
    for sentence in (*findings(screen), *assumptions(screen)):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _table(screen: Screen, of: CauseScreen) -> Table:
    title = f"{of.name}: the first {min(MOST_ROWS, len(of.tested))} of {len(of.tested):,} markers by p"
    table = Table(title=title, title_justify="left", box=None, min_width=len(title))
    for i, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if i > 1 else "left", no_wrap=i > 1)
    for row in rows_of(screen, of, of.order[:MOST_ROWS], OPEN):
        table.add_row(*row)
    return table
