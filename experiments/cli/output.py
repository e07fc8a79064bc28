"""Progress to stderr, tables to stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int, int], None]

stderr = Console(stderr=True)
stdout = Console() if Console().is_terminal else Console(width=140)  # a pipe has no width of its own


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
