"""Commands that compare arms: effects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def effects(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder.")],
    endpoint: Annotated[Path, typer.Option(metavar="YAML", help="What happens, and what competes with it.")],
    by: Annotated[str, typer.Option(metavar="COLUMN", help="Baseline variable, or site, that the arms are made by.")],
    adjust: Annotated[
        str | None, typer.Option(metavar="COLUMN,…", help="Variables to adjust for: arms that chance did not make.")
    ] = None,
    centre: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Strata: tests and hazard ratios compare within its values.")
    ] = None,
    recurrent: Annotated[
        str | None, typer.Option(metavar="EVENT", help="Also count this event each time, until one that competes.")
    ] = None,
    horizon: Annotated[
        list[float] | None, typer.Option(metavar="DAYS", help="Days from the landmark; default the endpoint's.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="VALUE", help="The arm that others are compared with; default the first.")
    ] = None,
    subgroup: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Also compare within its values; numbers are cut near the median."),
    ] = None,
    individual: Annotated[
        bool, typer.Option("--individual", help="Also each patient's expected effect, a straight line in --adjust.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Deals the folds of cross-fitting, once; another gives slightly other numbers. Only with --adjust.",
        ),
    ] = 20,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write a page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Compare arms: incidence with Gray's test, hazards, time lost, events that come back; adjusted if asked.

    Examples: sequela effects cohorts/mgus2 --endpoint cohorts/mgus2/endpoints/death_without_malignancy.yaml --by sex

              sequela effects cohorts/mine --endpoint infection.yaml --by product --adjust age,stage --out effects.html
    """
    from experiments.cli.options import names_of
    from experiments.cli.output import put_json, stderr
    from experiments.effects import analyse, ask, plain, print_effects, write_effects_page
    from features.check import read_cohort, read_endpoint

    question = ask(
        read_cohort(cohort),
        read_endpoint(endpoint),
        by,
        adjust=names_of(adjust),
        centre=centre,
        recurrent=recurrent,
        horizons_days=horizon or (),
        reference=reference,
        subgroup=subgroup,
        individual=individual,
    )
    found = analyse(question, seed)
    if as_json:
        put_json(plain(found))
    else:
        print_effects(found)
    if out is not None:
        write_effects_page(out, found)
        stderr.print(f"wrote {out}", highlight=False, soft_wrap=True)
