"""The command on many runs at once: sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="Its configuration (docs/how-to/sweeps.md).")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the base run.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials, instead of the file's number.")] = None,
    name: Annotated[str | None, typer.Option(help="Another study of the same file.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database of studies, e.g. postgresql://host/db; else $SEQUELA_STUDIES, else a file of the store.",
        ),
    ] = None,
    stale_after: Annotated[
        int, typer.Option(metavar="SECONDS", min=4, help="A worker silent for so long is taken for dead.")
    ] = 60,
    show: Annotated[bool, typer.Option("--show", help="Only print what there is.")] = False,
) -> None:
    """Search a space of runs with Optuna, each trial tracked; a second start goes on, on any machine it joins.

    Examples: sequela sweep configs/sweep/modalities.yaml --workers 4

              sequela sweep configs/sweep/models.yaml --set cohort=cohorts/mine --name mine --trials 60

              sequela sweep configs/sweep/modalities.yaml --show
    """
    from experiments.cli.output import progress_bars, stderr
    from experiments.home import Home
    from experiments.sweeps.config import load_sweep

    loaded = load_sweep(file, overrides or [], name=name, trials=trials)
    home = Home.current()
    with progress_bars() as bar:
        from experiments.sweeps.launch import run_sweep, show_sweep, storage_of
        from experiments.sweeps.shown import print_results

        at = storage_of(home, storage, stale_after)
        if show:
            print_results(show_sweep(loaded, home, at))
            return
        study = loaded.config.name
        done = run_sweep(
            loaded, home, at, workers=workers, cells=bar(f"{study}: cells"), trials=bar(f"{study}: trials")
        )
    print_results(done.results)
    stderr.print(f"run {done.run_id}: figures and all trials in {done.folder}", highlight=False, soft_wrap=True)
    stderr.print(f"the best one: sequela train {done.folder / 'best.yaml'}", highlight=False, soft_wrap=True)
