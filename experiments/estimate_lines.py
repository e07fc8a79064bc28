"""Estimates of groups, one line each, and tables of them by horizon: for comparisons of arms, and of strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from experiments.cli.output import table_of
from experiments.interval_text import interval_text
from experiments.page.privacy import WITHHELD
from experiments.page.tables import html_table, p_value
from training.effects.estimates import Estimate

DIFFERENCE, RATIO = " difference", " ratio"
TITLES = {
    "risk": "Risk, per cent [95 % interval]",
    "risk" + DIFFERENCE: "Difference of risks, percentage points",
    "risk" + RATIO: "Ratio of risks",
    "time lost": "Time lost, days",
    "time lost" + DIFFERENCE: "Difference of time lost, days",
    "mean number": "Mean number of events a patient",
    "mean number" + DIFFERENCE: "Difference of mean numbers",
    "mean number" + RATIO: "Ratio of mean numbers",
}
"""What is shown by horizon."""


@dataclass(frozen=True, slots=True)
class Line:
    """One estimate."""

    quantity: str
    """E.g. ``risk``, ``risk difference``, ``subdistribution hazard ratio``."""
    method: str
    cause: str
    horizon_days: float | None
    arm: str
    reference: str | None
    """The arm that it is compared with; None for a value of one arm."""
    estimate: Estimate


def by_horizon(lines: Sequence[Line]) -> tuple[list[float], dict[tuple[str, str, str], list[Line]]]:
    """Lines of one quantity as a table: the days of its columns; its rows by cause, arm and method."""
    days = sorted({line.horizon_days for line in lines if line.horizon_days is not None})
    rows: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        rows.setdefault((line.cause, arms_of(line), line.method), []).append(line)
    return days, rows


def arms_of(line: Line) -> str:
    """The arm, and the one that it is compared with."""
    return line.arm if line.reference is None else f"{line.arm} / {line.reference}"


def interval(line: Line) -> str:
    """The estimate and its interval: risks in per cent, times lost in days."""
    one = line.estimate
    if line.quantity in ("risk", "risk" + DIFFERENCE):
        return interval_text(one.point, one.low, one.high, percent=True)
    digits = 1 if line.quantity in ("time lost", "time lost" + DIFFERENCE) else 3
    return interval_text(one.point, one.low, one.high, digits=digits)


def html_by_horizon(
    quantities: Sequence[str], lines: Sequence[Line], withheld: Callable[[Line], bool], group: str
) -> str:
    """Tables on a page, one a quantity.

    Args:
        quantities: Which of the lines, of `TITLES`.
        lines: Estimates.
        withheld: Whether one is not shown.
        group: What is compared, e.g. ``arm``.
    """
    return "".join(_html([o for o in lines if o.quantity == one], one, withheld, group) for one in quantities)


def _html(lines: Sequence[Line], quantity: str, withheld: Callable[[Line], bool], group: str) -> str:
    days, rows = by_horizon(lines)
    texts = [
        (cause.replace("_", " "), *names, *(WITHHELD if withheld(one) else _cell(one) for one in cells))
        for (cause, *names), cells in rows.items()
    ]
    columns = ("cause", group, "method", *(f"by day {day:g}" for day in days))
    return html_table(TITLES[quantity], columns, texts, numeric_from=3)


def _cell(line: Line) -> str:
    return interval(line) if line.reference is None else f"{interval(line)}, p {p_value(line.estimate.p)}"


def table_by_horizon(quantity: str, lines: Sequence[Line], group: str) -> Table:
    """A table in the terminal, of one quantity."""
    days, rows = by_horizon([line for line in lines if line.quantity == quantity])
    table = table_of(TITLES[quantity], ["cause", group, "method"], [f"by day {day:g}" for day in days])
    for names, cells in rows.items():
        table.add_row(*names, *map(interval, cells))
    return table


def flat_line(line: Line) -> dict[str, Any]:
    """As other programs read it."""
    found = asdict(line)
    estimate: dict[str, Any] = found.pop("estimate")
    return found | estimate
