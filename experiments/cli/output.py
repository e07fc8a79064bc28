"""Progress to stderr, tables to stdout."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

Advance = Callable[[int, int], None]

stderr = Console(stderr=True)
stdout = Console() if Console().is_terminal else Console(width=140)  # a pipe has no width of its own


def table_of(title: str, left: Sequence[str], right: Sequence[str], rows: Iterable[Sequence[str]] = ()) -> Table:
    """A table under a title: columns of text, then columns of numbers; with the rows that are known already."""
    table = Table(title=title, title_justify="left", box=None, min_width=len(title))
    for column in left:
        table.add_column(column)
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def put_json(found: object) -> None:
    """Plain values, dates and tuples among them, as JSON on stdout."""
    print(json.dumps(_plain(found), indent=1, allow_nan=False))


def _plain(value: object) -> object:
    """As JSON has it: what is not known is null."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return f"{value}" if isinstance(value, date) else value


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Advance]]:
    """Yield a function that makes a progress bar with a description; the bar is told (done, of)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=not stderr.is_terminal) as progress:

        def bar(description: str) -> Advance:
            task = None

            def advance(done: int, of: int) -> None:
                nonlocal task
                if task is None:
                    task = progress.add_task(description, total=of)
                progress.update(task, completed=done, total=of)

            return advance

        yield bar
