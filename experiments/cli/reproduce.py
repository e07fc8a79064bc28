"""The command that makes a run again and compares the numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.runs import run_progress

if TYPE_CHECKING:
    from experiments.reproduction.check import Compared
    from experiments.reproduction.reproduce import Difference, Recalled, Reproduction


def reproduce(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name, id, or beginning of the id of a finished run.")],
    cohort: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the cohort is now, if it was moved since.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Largest absolute difference that counts as the same; 0: every bit.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="What was found, as JSON on stdout.")] = False,
) -> None:
    """Train a run again from what was logged of it, and say whether the numbers are the same. Exit 1 when they are not.

    Example: sequela reproduce cox --cohort cohorts/mine
    """
    from experiments.cli.output import progress_bars, stderr
    from experiments.home import Home

    with progress_bars() as bar:
        from experiments.reproduction.reproduce import recall
        from experiments.reproduction.reproduce import reproduce as carry_out  # imports Lightning and MLflow: seconds
        from experiments.store import find_run, open_store

        home = Home.current()
        client = open_store(home)
        recalled = recall(client, home, find_run(client, run), cohort)
        for one in recalled.elsewhere:
            text = f"{one.what}: {one.then} then, {one.now} now"
            stderr.print(text, highlight=False, markup=False, soft_wrap=True)
        found = carry_out(client, home, recalled, lambda name: run_progress(bar, name), tolerance)
    if as_json:
        typer.echo(json.dumps(_as_dict(recalled, found), indent=1))
    else:
        _show(found.compared, found.tolerance)
        typer.echo(sentence(recalled.elsewhere, found))
    if found.differing:
        raise typer.Exit(1)


def sentence(elsewhere: Sequence[Difference], found: Reproduction) -> str:
    """The result in one sentence."""
    if not found.differing:
        return "the same numbers" + (f", to within {found.tolerance:g}" if found.tolerance else ", to the last bit")
    worst = max(found.differing, key=lambda one: one.difference)
    place = f"{worst.what} ({worst.where})" if worst.where else worst.what
    size = f"largest difference {worst.difference:.2g} in {place}" if isfinite(worst.difference) else f"other {place}"
    because = f"; here differ: {', '.join(one.what for one in elsewhere)}" if elsewhere else ""
    return f"differs in {', '.join(one.what for one in found.differing)}; {size}{because}"


def _show(compared: Sequence[Compared], tolerance: float) -> None:
    from rich.table import Table

    from experiments.cli.output import stdout

    table = Table(box=None, pad_edge=False)
    for column in ("compared", "numbers", "largest difference", "", "in"):
        table.add_column(column, justify="right" if column in {"numbers", "largest difference"} else "left")
    for one in compared:
        verdict = "same" if one.difference <= tolerance else "DIFFERS"
        shown = "0" if one.difference == 0 else f"{one.difference:.2g}"
        table.add_row(one.what, f"{one.numbers:,}", shown, verdict, one.where)
    stdout.print(table)


def _as_dict(recalled: Recalled, found: Reproduction) -> dict[str, object]:
    """Infinite differences are null: JSON has no infinity."""
    return {
        "run": recalled.run.info.run_id,
        "reproduction": found.run_id,
        "same": not found.differing,
        "tolerance": found.tolerance,
        "elsewhere": [asdict(one) for one in recalled.elsewhere],
        "compared": [
            asdict(one) | {"difference": one.difference if isfinite(one.difference) else None} for one in found.compared
        ],
    }
