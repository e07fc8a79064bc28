"""Leaderboards in the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import isfinite
from typing import Any

from rich.table import Table

from experiments.cli.output import stdout
from experiments.comparing.leaderboard import Leaderboard
from experiments.interval_text import interval_text

SHOWN = ("ibs", "ipa", "c")


def print_leaderboard(board: Leaderboard, top: int = 0) -> None:
    """One leaderboard, best first; of more than `top` runs only the first ones (0: all)."""
    runs = len(board.table)
    title = (
        f"{board.endpoint} on {board.cohort} ({board.provenance} patients); cause {board.cause}, first landmark; "
        f"{runs:,} runs by {board.sorted_by}"
    )
    table = Table(title=title, title_justify="left", box=None)
    other = [] if board.sorted_by in _shown_columns(board) else [board.sorted_by]
    for column in ("rank", "run", *other, "IBS", "IPA %", "C", "seconds", "fits", "run id"):
        table.add_column(column, justify="left" if column in ("run", "run id") else "right", no_wrap=True)
    for row in board.table.head(top or runs).to_dict("records"):
        fits = row["fits"]
        table.add_row(
            str(row["rank"]),
            str(row["run"]),
            *(f"{row[name]:.4g}" for name in other),
            _score(row, "ibs", board.cause, digits=4),
            _score(row, "ipa", board.cause, percent=True),
            _score(row, "c", board.cause),
            f"{row['seconds']:.0f}",
            f"{fits:.0f}" if fits is not None and isfinite(fits) else "–",
            str(row["run_id"])[:8],
        )
    stdout.print(table)
    if top and runs > top:
        stdout.print(f"  … and {runs - top:,} more; --top 0 shows all, --csv FILE writes all", highlight=False)


def _shown_columns(board: Leaderboard) -> set[str]:
    return {*(f"{metric}/{board.cause}" for metric in SHOWN), "seconds", "fits"}


def _score(row: Mapping[Hashable, Any], metric: str, cause: str, *, percent: bool = False, digits: int = 3) -> str:
    point, low, high = (float(row.get(f"{metric}{part}/{cause}", float("nan"))) for part in ("", "_lo", "_hi"))
    return interval_text(point, low, high, percent=percent, digits=digits)
