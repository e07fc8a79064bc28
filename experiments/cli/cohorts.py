"""Commands that make and check cohort folders: simulate, import, check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from features.check import Examination
    from features.schema import Endpoint


def simulate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the cohort folder is written.")],
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 400,
    cells_per_sample: Annotated[int, typer.Option(min=0, help="Cells in each sample; 0: no cells.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same cohort.")] = 0,
    treatments: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Treatments that start during follow-up and prevent infections.")
    ] = None,
) -> None:
    """Write a simulated cohort with a known truth (truth.parquet holds every patient's true incidence).

    Examples: sequela simulate cohorts/simulated --patients 400 --cells-per-sample 200 --seed 1

              sequela simulate cohorts/treated --cells-per-sample 0 --treatments configs/cohort/treatments.yaml
    """
    from experiments.cli.output import progress_bars, stderr
    from features.simulator import load_treatments
    from features.simulator import simulate as write

    given = None if treatments is None else load_treatments(treatments)
    with progress_bars() as bar:
        write(
            folder,
            n_patients=patients,
            cells_per_sample=cells_per_sample,
            seed=seed,
            treatments=given,
            progress=bar("samples"),
        )
    stderr.print(f"wrote {folder}: {patients} simulated patients; `sequela check {folder}` looks at it")


def import_(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Which importer; see --list.")] = None,
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="SOURCE… DIR", help="What it reads, then the folder it writes.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the importers.")] = False,
) -> None:
    """Turn the files of a study into a cohort folder.

    Examples: sequela import leipzig2024 leipzig_bcma_cart/ cohorts/leipzig

              sequela import table configs/import/hodgkin_hd.yaml hodgkin_hd.csv cohorts/hodgkin
    """
    from experiments.cli.output import progress_bars, stderr, stdout
    from features.errors import SequelaError
    from features.importers import IMPORTERS

    if show or name is None:
        for known in IMPORTERS.values():
            stdout.print(f"{known.name:14} {known.description}", highlight=False, markup=False, soft_wrap=True)
        return
    if name not in IMPORTERS:
        msg = f"import {name}: no such importer; there are {', '.join(IMPORTERS)}"
        raise SequelaError(msg)
    importer = IMPORTERS[name]
    paths = sources or []
    if len(paths) != 2 + importer.takes_spec:
        usage = ("SPEC.yaml " if importer.takes_spec else "") + "SOURCE DIR"
        msg = f"import {name}: takes {usage}, where SOURCE is {importer.source}; {len(paths)} paths were given"
        raise SequelaError(msg)
    source, folder = paths[-2:]
    with progress_bars() as bar:
        importer.run(source, folder, paths[0] if importer.takes_spec else None, bar("importing"))
    stderr.print(f"wrote {folder}; `sequela check {folder}` looks at it", highlight=False)


def check(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder.")],
    endpoint: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="Also check that this endpoint can be studied, and by how large a model."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write a page of pictures: follow-up, events, labs, cells.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON on stdout.")] = False,
) -> None:
    """Validate a cohort folder: every finding at once, with file, row, value, rule and remedy. Exit 1 on an error.

    Example: sequela check cohorts/mine --endpoint configs/endpoint/severe_infection.yaml --report mine.html
    """
    from experiments.cli.output import progress_bars, stderr, stdout
    from features.check import examine, read_endpoint

    studied = None if endpoint is None else read_endpoint(endpoint)
    with progress_bars() as bar:
        examination = examine(cohort, studied, bar("checking cells"))
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in examination.findings], indent=1))
    else:
        for finding in examination.findings:
            stdout.print(str(finding), highlight=False, markup=False, soft_wrap=True)
    errors = sum(finding.severity == "error" for finding in examination.findings)
    warnings = len(examination.findings) - errors
    stderr.print(f"{cohort}: {errors} errors, {warnings} warnings", highlight=False, markup=False)
    if errors:
        raise typer.Exit(1)
    if studied is not None and examination.cohort is not None:
        from experiments.advice import sample_size_advice
        from experiments.leaks import leak_warnings

        for line in (*sample_size_advice(examination.cohort, studied), *leak_warnings(examination.cohort, studied)):
            stderr.print(line, highlight=False, markup=False, soft_wrap=True)
    if report is not None and examination.cohort is not None:
        _write_report(examination, studied, report)


def _write_report(examination: Examination, endpoint: Endpoint | None, path: Path) -> None:
    """The page of a cohort without errors."""
    from experiments.cli.output import progress_bars, stderr
    from experiments.cohort_report import write_cohort_report
    from experiments.data import all_patients
    from experiments.home import Home
    from features.cells.processing import CellProcessing

    cohort = examination.cohort
    assert cohort is not None  # noqa: S101 - for the type checker
    with progress_bars() as bar:
        patients = all_patients(cohort, CellProcessing(), Home.current().features, progress=bar("storing cells"))
        endpoints = [] if endpoint is None else [endpoint]
        write_cohort_report(cohort, patients, endpoints, path, bar("report"), findings=examination.findings)
    stderr.print(f"wrote {path}", highlight=False, soft_wrap=True)
