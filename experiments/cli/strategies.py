"""Commands that compare strategies of starting a treatment: strategies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def strategies(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder.")],
    endpoint: Annotated[Path, typer.Option(metavar="YAML", help="What happens, and what competes with it.")],
    treatment: Annotated[
        str, typer.Option(metavar="EVENT", help="What is started: an event, or a measured variable of 0 and 1.")
    ],
    grace: Annotated[int, typer.Option(metavar="DAYS", min=0, help="Within which treatment is to start.")] = 30,
    below: Annotated[
        list[str] | None,
        typer.Option(metavar="LAB=VALUE", help="Also: start once it is below this, not before; may be repeated."),
    ] = None,
    adjust: Annotated[
        str | None, typer.Option(metavar="COLUMN,…", help="Baseline variables that decided who was treated when.")
    ] = None,
    over_time: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Measured variables and events that did: last value before each day."),
    ] = None,
    same_day: Annotated[
        bool, typer.Option("--same-day", help="What was measured on a day was known when treatment was decided on it.")
    ] = False,
    horizon: Annotated[
        list[float] | None, typer.Option(metavar="DAYS", help="Days from the landmark; default the endpoint's.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="STRATEGY", help="That others are compared with; default never.")
    ] = None,
    truncate: Annotated[
        float, typer.Option(metavar="PERCENTILE", min=50, max=100, help="At which weights are truncated; 100: none.")
    ] = 99.9,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="CAUSE=WORTH,…", help="What a day after a first event is worth, 0 to 1; default 0.5, 0; before: 1."
        ),
    ] = None,
    resamples: Annotated[int, typer.Option(min=20, help="Of patients, for the intervals.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of these.")] = 20,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write a page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Compare when to start a treatment: never, by a day, or once a value is low; as a target trial would.

    Examples: sequela strategies cohorts/mine --endpoint infection.yaml --treatment immunoglobulin --over-time igg

              sequela strategies cohorts/mine --endpoint infection.yaml --treatment immunoglobulin --grace 28
              --below igg=400 --adjust age --over-time igg,anc --out strategies.html
    """
    from experiments.cli.options import names_of
    from experiments.cli.output import progress_bars, put_json, stderr
    from experiments.strategies import analyse, ask, lows_of, plain, print_strategies, write_strategies_page
    from experiments.strategies.question import Asked
    from experiments.worth import worth_of
    from features.check import read_cohort, read_endpoint

    asked = Asked(
        treatment,
        grace,
        lows_of(below or ()),
        tuple(names_of(adjust)),
        tuple(names_of(over_time, "--over-time")),
        same_day,
        tuple(horizon or ()),
        reference,
        truncate,
        None if weights is None else worth_of(weights),
    )
    question = ask(read_cohort(cohort), read_endpoint(endpoint), asked)
    with progress_bars() as bar:
        found = analyse(question, n_resamples=resamples, seed=seed, progress=bar("resamples"))
    if as_json:
        put_json(plain(found))
    else:
        print_strategies(found)
    if out is not None:
        write_strategies_page(out, found)
        stderr.print(f"wrote {out}", highlight=False, soft_wrap=True)
