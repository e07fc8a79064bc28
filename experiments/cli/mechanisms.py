"""The command that asks a network of cells what it leans on: mechanisms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mechanisms(
    run: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="A run whose model looks at single cells.")],
    cause: Annotated[str | None, typer.Option(metavar="NAME", help="Whose risk; default the endpoint's event.")] = None,
    horizon: Annotated[
        float | None, typer.Option(metavar="DAYS", help="By when; default the endpoint's last that is followed to.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(metavar="PROGRAM[@STATE]", help="Silence, halve and double a program, or genes; repeatable."),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Each patient is read by a network fitted to the others.")] = 3,
    exchanges: Annotated[
        int, typer.Option(min=1, help="Of cells between patients, for the p-values; all is fitted anew each time.")
    ] = 19,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the run; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write a page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Which cell states and genes carry a network's risk, tested against exchanged cells; what if programs changed?

    Networks are fitted and read folds × (1 + exchanges) times: on a CPU, with a few hundred patients, an hour or more.

    Examples: sequela mechanisms configs/run/attention.yaml --out mechanisms.html

              sequela mechanisms my_run.yaml --change exhaustion --change TOX,PDCD1@blood:CD8 --exchanges 99
    """
    from experiments.cli.output import progress_bars, put_json, stderr
    from experiments.config import load_run
    from experiments.data import rows_of_run
    from experiments.home import Home
    from experiments.mechanisms import analyse, ask, plain, print_mechanisms, write_mechanisms_page
    from experiments.mechanisms.question import require_network
    from features.errors import SequelaError

    config = load_run(run, set_ or ())
    if out is not None and not out.parent.is_dir():
        msg = f"--out {out}: there is no folder {out.parent}; make it first, or choose another"
        raise SequelaError(msg)
    require_network(config)
    with progress_bars() as bar:
        rows = rows_of_run(config, Home.current(), bar("storing cells"))
        question = ask(config, rows, cause=cause, horizon_days=horizon, changes=change or ())
        found = analyse(question, n_folds=folds, n_exchanges=exchanges, progress=bar("networks"))
    if as_json:
        put_json(plain(found))
    else:
        print_mechanisms(found)
    if out is not None:
        write_mechanisms_page(out, found)
        stderr.print(f"wrote {out}", highlight=False, soft_wrap=True)
