"""The command that delivers what runs could not."""

from __future__ import annotations

from typing import Annotated

import typer


def sync(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN…", help="Ids of runs, or their beginnings; none: all.")
    ] = None,
) -> None:
    """Give MLflow what runs logged while it did not answer; mark runs KILLED whose process is no more.

    Examples: sequela sync

              sequela sync 3f9a
    """
    from experiments.cli.output import progress_bars, stderr, stdout
    from experiments.home import Home
    from experiments.store import sync as deliver

    found = 0
    with progress_bars() as bar:
        for run in deliver(Home.current(), runs or [], bar("runs")):
            found += 1
            if run.broken is not None:
                told = f"run {run.run_id}: its folder cannot be read ({run.broken}); restore it, or move it away"
                stderr.print(told, highlight=False, soft_wrap=True, markup=False)
                continue
            ended = ", which had been killed" if run.killed else ""
            stdout.print(f"run {run.run_id}{ended}: {run.delivered} items delivered", highlight=False, soft_wrap=True)
            for refused in run.refused:
                stderr.print(f"run {run.run_id}: MLflow refused {refused}", highlight=False, soft_wrap=True)
    if not found:
        stderr.print("nothing waits: MLflow has everything")
