"""Commands that weigh benefit against risk: benefit-risk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def benefit_risk(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder.")],
    endpoint: Annotated[
        Path, typer.Option(metavar="YAML", help="Its event is the complication; what competes leads into later states.")
    ],
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Baseline variable, or site, that makes groups.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="VALUE", help="The group that others are compared with; default the first.")
    ] = None,
    adjust: Annotated[
        str | None,
        typer.Option(metavar="COLUMN,…", help="Baseline variables that the groups are weighted to be alike in."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="STATE=WORTH,…", help="What a day in a state is worth, 0 to 1; default 1, 0.5, 0, 0."),
    ] = None,
    horizon: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Days from the landmark; default the endpoint's last.")
    ] = None,
    patient: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Also predict this patient, from the cohort's patients.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=20, help="Refits, for the intervals of --patient.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of these refits.")] = 20,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write a page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Weigh benefit against risk: states over time, expected days in each, and what a day in each is worth.

    Examples: sequela benefit-risk cohorts/mine --endpoint infection.yaml --by product --out benefit_risk.html

              sequela benefit-risk cohorts/mine --endpoint infection.yaml --weights infection=0.3,relapse=0.2

              sequela benefit-risk cohorts/mine --endpoint infection.yaml --patient patient.json
    """
    from experiments.benefit_risk import (
        analyse,
        ask,
        patient_states,
        plain,
        print_benefit_risk,
        read_patient,
        write_benefit_risk_page,
    )
    from experiments.cli.options import names_of
    from experiments.cli.output import progress_bars, put_json, stderr
    from experiments.worth import worth_of
    from features.check import read_cohort, read_endpoint

    worth = None if weights is None else worth_of(weights)
    asked = read_cohort(cohort), read_endpoint(endpoint)
    question = ask(*asked, by=by, reference=reference, adjust=names_of(adjust), worth=worth, horizon_days=horizon)
    given = None if patient is None else read_patient(patient, question)
    with progress_bars() as bar:
        found = analyse(question, bar("groups"))
        states = None
        if given is not None:
            states = patient_states(given, question, n_resamples=resamples, seed=seed, progress=bar("refits"))
    if as_json:
        put_json(plain(found, states))
    else:
        print_benefit_risk(found, states)
    if out is not None:
        write_benefit_risk_page(out, found, states)
        stderr.print(f"wrote {out}", highlight=False, soft_wrap=True)
