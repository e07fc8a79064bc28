"""A sweep in the terminal."""

from __future__ import annotations

from math import isfinite

from rich.table import Table

from experiments.cli.output import stdout
from experiments.sweeps.results import Results
from training.evaluation.intervals import Interval

MOST_TRIALS = 10
"""Shown in the terminal; trials.csv holds all."""
LABELS = {"ibs": "IBS", "ipa": "IPA", "c": "C"}


def print_results(results: Results) -> None:
    """The best trials with their intervals, and what the best is worth."""
    label, table = LABELS[results.metric], results.table
    title = f"{results.name}: best of {len(table)} trials by {label} of {results.cause} ({results.provenance} patients)"
    shown = Table(title=title, title_justify="left", box=None)
    parameters = [*table.columns[8:]]
    for column in ("trial", label, "seconds"):
        shown.add_column(column, justify="right", no_wrap=True)
    for key in parameters:
        shown.add_column(key, overflow="fold")
    for rank, line in enumerate(table[table["state"] == "complete"].head(MOST_TRIALS).to_dict("records")):
        values = ["" if line[key] is None or line[key] != line[key] else _value(line[key]) for key in parameters]
        score = _interval(results.selection.scores[rank])
        shown.add_row(str(line["trial"]), score, f"{line['seconds']:.1f}", *values)
    stdout.print(shown)
    for state in ("pruned", "failed"):
        n = int((table["state"] == state).sum())
        if n:
            stdout.print(f"{n} {state}", highlight=False)
    if len(table) < results.places:
        stdout.print(f"{len(table)} of {results.places} trials are finished; the same command goes on", highlight=False)
    best, corrected = _interval(results.selection.scores[0]), _interval(results.selection.corrected)
    stdout.print(
        f"The best {label}, {best}, is chosen on the folds that score it, and so looks better than it is.\n"
        f"Where those who choose do not score (BBC-CV): {corrected}",
        highlight=False,
        soft_wrap=True,
    )


def _interval(interval: Interval) -> str:
    bounds = f" [{interval.low:.4f}, {interval.high:.4f}]" if isfinite(interval.low) else ""
    return f"{interval.point:.4f}{bounds}" if isfinite(interval.point) else "not known"


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
