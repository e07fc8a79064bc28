"""Commands about clones: clones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def clones(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder with clones and several samples.")],
    least_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the later sample, for an expanding clone to be told.")
    ] = 0.05,
    least_ratio: Annotated[float, typer.Option(min=1, help="Of the shares, later to earlier.")] = 2.0,
    dominant_share: Annotated[
        float, typer.Option(min=0, max=1, help="From which on a clone is told whether it expands or not.")
    ] = 0.2,
    oncogenes: Annotated[
        Path | None,
        typer.Option(
            metavar="GENES",
            help="Which sites are near these: 'bundled', a .bed file, or symbols one a line; default the cohort's.",
        ),
    ] = None,
    within: Annotated[int, typer.Option(min=0, metavar="BASES", help="Of an oncogene, to be near it.")] = 50_000,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write every warning to a CSV file.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write a page, without patients.")] = None,
) -> None:
    """Which clones (integration sites, T-cell receptors) expand from sample to sample, and in whom to look again?

    Each sample is compared with all earlier ones of the same patient, material and locus.

    Example: sequela clones cohorts/upenn --oncogenes bundled --csv clones.csv --out clones.html
    """
    from experiments.cli.output import stderr
    from experiments.clones import follow, print_clones, write_clones_page, write_csv
    from experiments.clones.oncogenes import read_oncogenes
    from experiments.clones.rule import Rule
    from features.check import read_cohort

    genes = None if oncogenes is None else read_oncogenes(oncogenes, within)
    found = follow(read_cohort(cohort), Rule(least_share, least_ratio, dominant_share), genes)
    print_clones(found)
    if csv is not None:
        write_csv(csv, found)
    if out is not None:
        write_clones_page(out, found)
    for path in (csv, out):
        if path is not None:
            stderr.print(f"wrote {path}", highlight=False, soft_wrap=True)
