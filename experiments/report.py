"""Scores of a run in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from experiments.cli.output import stdout
from experiments.interval_text import interval_text
from experiments.run_report import Findings
from training.evaluation.importance import SourceImportance
from training.evaluation.intervals import Interval

MOST_SOURCES = 10
"""Shown in the terminal; the table holds all."""


def _of(interval: Interval, *, percent: bool = False, digits: int = 3) -> str:
    return interval_text(interval.point, interval.low, interval.high, percent=percent, digits=digits)


def print_findings(name: str, found: Findings) -> None:
    """Overall scores of a run, one row a landmark and cause; what predictions need, and the permutation test."""
    table = Table(title=f"{name}: out-of-fold scores with 95 % intervals", title_justify="left", box=None)
    for column in ("landmark day", "cause", "IBS", "IPA %", "C"):
        table.add_column(column, justify="left" if column == "cause" else "right", no_wrap=True)
    for day, of_day in found.scores.items():
        for cause in of_day.causes:
            ibs, ipa = _of(cause.ibs, digits=4), _of(cause.ipa, percent=True)
            table.add_row(f"{day:g}", cause.cause, ibs, ipa, _of(cause.c))
    stdout.print(table)
    if found.importance:
        _print_importance(found.importance)
    if found.pipeline is not None:
        test, low, high = found.pipeline, found.pipeline.p_low, found.pipeline.p_high
        text = f"Permutation test of the whole run: p = {test.p:.3g} [{low:.3g}, {high:.3g}]"
        stdout.print(f"{text}, outcomes exchanged {len(test.permuted)} times", highlight=False, soft_wrap=True)


def _print_importance(importance: Sequence[SourceImportance]) -> None:
    """The sources that the first cause's predictions need most."""
    cause = importance[0].cause
    table = Table(title=f"Increase of the IBS of {cause} × 10⁴ when permuted", title_justify="left", box=None)
    table.add_column("source")
    table.add_column("increase", justify="right", no_wrap=True)
    of_cause = sorted((one for one in importance if one.cause == cause), key=lambda one: -one.ibs.point)
    for one in of_cause[:MOST_SOURCES]:
        table.add_row(
            one.source, interval_text(*(1e4 * value for value in (one.ibs.point, one.ibs.low, one.ibs.high)), digits=1)
        )
    stdout.print(table)
