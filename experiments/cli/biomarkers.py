"""The command that screens markers: biomarkers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from experiments.biomarkers import Screen
    from features.landmark import Statistic


def biomarkers(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder.")],
    endpoint: Annotated[Path, typer.Option(metavar="YAML", help="What happens, and what competes with it.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write biomarkers.csv, a page, and pages of markers.")
    ] = None,
    landmark: Annotated[
        float | None,
        typer.Option(metavar="DAY", help="Markers are what is known by then; default: the first."),
    ] = None,
    adjust: Annotated[
        str | None, typer.Option(metavar="COLUMN,…", help="The clinic: also test what markers tell beyond these.")
    ] = None,
    centre: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Strata: patients are compared within its values.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Treatment: also test its interaction with every marker.")
    ] = None,
    statistic: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of measured variables; repeatable; default last, max, slope."),
    ] = None,
    genes: Annotated[int, typer.Option(min=0, help="Most variable genes whose pseudobulks are markers.")] = 500,
    pathways: Annotated[
        str | None,
        typer.Option(metavar="bundled|FILE.gmt", help="Gene sets whose activity in each cell type is a marker."),
    ] = None,
    permutations: Annotated[int, typer.Option(min=99, help="Of the outcomes, for the permutation null.")] = 10_000,
    pairs: Annotated[int, typer.Option(min=1, help="Of half samples, for stability selection.")] = 50,
    pages: Annotated[int, typer.Option(min=0, help="Pages of single markers, at most.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of permutations, halves and cells that are drawn.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="The table and the findings as JSON on stdout.")] = False,
) -> None:
    """Screen every marker of a cohort, from the clinic to genes, for its association with each cause.

    Examples: sequela biomarkers cohorts/leipzig --endpoint configs/endpoint/leipzig_crs2.yaml --out markers

              sequela biomarkers cohorts/mine --endpoint infection.yaml --adjust age,stage --centre site --by product
    """
    from experiments.biomarkers import ask, marker_matrix, print_screen, screen, write_screen
    from experiments.cli.options import everyone_of, names_of, require_new
    from experiments.cli.output import progress_bars, put_json, stderr
    from features.cells.gene_sets import gene_sets
    from features.check import read_cohort, read_endpoint

    sets = None if pathways is None else gene_sets(pathways)
    read = read_cohort(cohort)
    question = ask(read, read_endpoint(endpoint), landmark_day=landmark, adjust=names_of(adjust), centre=centre, by=by)
    require_new(out)
    with progress_bars() as bar:
        everyone = everyone_of(read, bar("storing cells"))
        matrix = marker_matrix(question, everyone, statistics=_statistics(statistic), n_genes=genes, pathways=sets)
        found = screen(question, matrix, n_permutations=permutations, n_pairs=pairs, seed=seed, progress=bar)
        if out is not None:
            write_screen(out, found, most_pages=pages, seed=seed, progress=bar("pages"))
    if as_json:
        put_json(_plain(found))
    else:
        print_screen(found)
    if out is not None:
        stderr.print(f"wrote {out / 'index.html'}", highlight=False, soft_wrap=True)


def _statistics(names: list[str] | None) -> tuple[Statistic, ...]:
    from experiments.biomarkers.matrix import STATISTICS
    from features.errors import SequelaError
    from features.landmark import parse_statistic

    try:
        return tuple(map(parse_statistic, names)) if names else STATISTICS
    except SequelaError as error:
        msg = f"--statistic: {error}"
        raise SequelaError(msg) from error


def _plain(found: Screen) -> dict[str, object]:
    """Everything as other programs read it; what is not known is null."""
    from experiments.biomarkers.sentences import assumptions, findings
    from experiments.biomarkers.table import table_of

    return {
        "cohort": found.question.cohort.card.title,
        "provenance": found.question.cohort.card.provenance,
        "endpoint": found.question.endpoint.name,
        "landmark_day": found.question.landmark_day,
        "patients": len(found.question.outcomes),
        "events": found.question.outcomes.counts(),
        "permutations": found.n_permutations,
        "markers": table_of(found).to_dict(orient="records"),
        "found": list(findings(found)),
        "assumptions": list(assumptions(found)),
    }
