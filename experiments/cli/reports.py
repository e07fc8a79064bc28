"""Commands that tell what there is: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name, id, or beginning of the id of a finished run.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Where the page is written; default NAME.html here.")
    ] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option(metavar="PAGE.html", help="Also a section of it: a page of monitor, effects, …; may be repeated."),
    ] = None,
    card: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write the model card there: JSON, Markdown and HTML.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the run's cohort is now, if it was moved.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose run is meant, where runs of several have one name.")
    ] = None,
    relative_risk_reduction: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help="By which treatment is assumed to lower risks, for numbers needed to treat.",
            show_default="0.3",
        ),
    ] = None,
) -> None:
    """Write the page of a run: one HTML file of tables and figures that needs no network; and its model card.

    Examples: sequela report mixture --out mixture.html --card cards/mixture

              sequela report mixture --add monitor.html --add strategies.html
    """
    from experiments.cli.output import progress_bars, stderr
    from experiments.home import Home
    from experiments.run_page import RELATIVE_RISK_REDUCTION, analyse, write_card, write_run_page
    from experiments.run_page.stored import stored_record
    from experiments.store import find_run, open_store

    home = Home.current()
    client = open_store(home)
    found = find_run(client, run, endpoint)
    with progress_bars() as bar:
        record = stored_record(client, home, found, cohort)
        heard = bar("scores by time and group")
        reduction = RELATIVE_RISK_REDUCTION if relative_risk_reduction is None else relative_risk_reduction
        analysis = analyse(record, heard, relative_risk_reduction=reduction)
        path = out or Path(f"{found.info.run_name}.html")
        write_run_page(analysis, path, bar("report"), add or ())
    if card is not None:
        card.mkdir(parents=True, exist_ok=True)
        write_card(analysis, card)
        stderr.print(f"wrote the model card into {card}", highlight=False, soft_wrap=True)
    typer.echo(path)
