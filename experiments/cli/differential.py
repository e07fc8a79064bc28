"""The command that compares cells of two groups of patients: differential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from experiments.differential import Differential, Question
    from features.cohort import Cohort


def differential(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder with cells.")],
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Baseline variable, or site, that makes the two groups.")
    ] = None,
    groups: Annotated[
        str | None, typer.Option(metavar="A,B", help="Which two of its values; the first is the reference.")
    ] = None,
    endpoint: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Instead: those who met a cause against those free of it.")
    ] = None,
    cause: Annotated[str | None, typer.Option(metavar="EVENT", help="Of the endpoint; default its event.")] = None,
    horizon: Annotated[
        float | None, typer.Option(metavar="DAYS", help="From the landmark, by when; default the endpoint's last.")
    ] = None,
    landmark: Annotated[
        float | None,
        typer.Option(metavar="DAY", help="Samples are those by then; default 0, or the endpoint's first."),
    ] = None,
    adjust: Annotated[
        str | None, typer.Option(metavar="COLUMN,…", help="Variables in the models beside the group, e.g. age,site.")
    ] = None,
    pathways: Annotated[
        str, typer.Option(metavar="bundled|FILE.gmt|none", help="Gene sets tested in each cell type.")
    ] = "bundled",
    least_cells: Annotated[
        int, typer.Option(min=1, help="Of a type, below which a patient is left out of its genes.")
    ] = 10,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write tables as csv and a page with volcano plots.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The tables and the findings as JSON on stdout.")] = False,
) -> None:
    """Compare the cells of two groups of patients: cell types, genes by cell type (pydeseq2), pathways.

    Examples: sequela differential cohorts/mine --by product --groups axi-cel,tisa-cel --adjust age,site --out compared

              sequela differential cohorts/mine --endpoint infection.yaml --cause relapse --horizon 365
    """
    from experiments.cli.options import everyone_of, names_of, require_new
    from experiments.cli.output import progress_bars, put_json, stderr
    from experiments.differential import compare, print_differential, write_differential
    from features.cells.gene_sets import gene_sets
    from features.check import read_cohort

    sets = None if pathways == "none" else gene_sets(pathways)
    read = read_cohort(cohort)
    question = _question(read, by, groups, endpoint, cause, horizon, landmark, names_of(adjust))
    require_new(out)
    with progress_bars() as bar:
        everyone = everyone_of(read, bar("storing cells"))
        found = compare(question, everyone, sets=sets, least_cells=least_cells, progress=bar("cell types"))
        if out is not None:
            write_differential(out, found)
    if as_json:
        put_json(_plain(found))
    else:
        print_differential(found)
    if out is not None:
        stderr.print(f"wrote {out / 'index.html'}", highlight=False, soft_wrap=True)


def _question(
    cohort: Cohort,
    by: str | None,
    groups: str | None,
    endpoint: Path | None,
    cause: str | None,
    horizon: float | None,
    landmark: float | None,
    adjust: list[str],
) -> Question:
    """What the options ask.

    Raises:
        SequelaError: They ask for both kinds of groups, or for neither.
    """
    from experiments.differential import by_outcome, by_variable
    from features.check import read_endpoint
    from features.errors import SequelaError

    if (by is None) == (endpoint is None):
        msg = "name what makes the two groups: either --by COLUMN, or --endpoint YAML with --cause and --horizon"
        raise SequelaError(msg)
    if by is not None:
        if cause is not None or horizon is not None:
            msg = f"--by {by}: has neither --cause nor --horizon; leave them out, or give --endpoint in place of --by"
            raise SequelaError(msg)
        names = [one.strip() for one in (groups or "").split(",") if one.strip()]
        return by_variable(cohort, by, groups=names, landmark_day=landmark or 0.0, adjust=adjust)
    if groups is not None:
        msg = f"--groups {groups}: names values of --by, and an endpoint makes its own groups; leave it out"
        raise SequelaError(msg)
    assert endpoint is not None  # noqa: S101 - for the type checker
    return by_outcome(
        cohort, read_endpoint(endpoint), cause=cause, horizon_days=horizon, landmark_day=landmark, adjust=adjust
    )


def _plain(found: Differential) -> dict[str, object]:
    """Everything as other programs read it; what is not known is null."""
    from experiments.differential.sentences import assumptions, findings

    question = found.question
    return {
        "cohort": question.cohort.card.title,
        "provenance": question.cohort.card.provenance,
        "by": question.by,
        "groups": list(question.names),
        "patients": list(question.sizes),
        "left_out": question.n_left_out,
        "landmark_day": question.landmark_day,
        "abundance": found.abundance.to_dict(orient="records"),
        "expression": found.expression.to_dict(orient="records"),
        "pathways": found.pathways.to_dict(orient="records"),
        "found": list(findings(found)),
        "assumptions": list(assumptions(found)),
    }
