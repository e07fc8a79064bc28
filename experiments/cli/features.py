"""The command that builds and shows a cohort's feature store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from features.cells.processing import CellProcessing
    from features.cells.store import CellStore
    from features.cohort import Cohort


def features(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder with cells.")],
    run: Annotated[
        Path | None, typer.Option(metavar="RUN.yaml", help="Process cells as this run does (features.processing).")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the processing, e.g. min_genes=200; repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that read and process samples.")] = 2,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the checksum of every file of the store.")] = False,
    fit_reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fit a reference mapper on the cells' labels, and write it there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The samples as JSON on stdout.")] = False,
) -> None:
    """Store a cohort's cells once, processed and summarised, for every run that asks for the same; show what is there.

    Training builds the store by itself; this command does it beforehand, with more processes, and shows the samples.

    Example: sequela features cohorts/mine --set min_genes=200 --set annotation=markers --workers 4

    A reference for other cohorts: sequela features cohorts/labelled --fit-reference reference.safetensors, and then
    processing: {annotation: reference, reference: reference.safetensors} in the features of a run.
    """
    from experiments.cli.output import progress_bars, stderr
    from experiments.data import stored_cells
    from experiments.home import Home
    from features.check import read_cohort

    read = read_cohort(cohort)
    processing = _processing(run, overrides or [])
    home = Home.current()
    with progress_bars() as bar:
        store = stored_cells(read, processing, home.features, workers=workers, progress=bar("cells"))
    if verify:
        store.verify()
    if fit_reference is not None:
        _fit_reference(read, store, fit_reference)
    _show(store, as_json=as_json)
    size = sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())
    stderr.print(
        f"{store.folder}: {store.n_cells:,} cells of {len(store.samples):,} samples on {len(store.genes):,} genes, "
        f"{size / 2**20:,.0f} MiB" + (", every checksum right" if verify else ""),
        highlight=False,
        soft_wrap=True,
    )


def _fit_reference(cohort: Cohort, store: CellStore, path: Path) -> None:
    """Fit on every labelled cell; genes, penalty and calibration come from patients held out."""
    from experiments.cli.output import stderr
    from features.cells.reference_mapping import ReferenceMapper
    from features.schema import CellsCard

    patient_of = dict(zip(cohort.samples["sample_id"], cohort.samples["patient_id"], strict=True))
    held = [name for name in store.samples if name in patient_of]
    bags = store.bags(held)
    with stderr.status("fitting the reference"):
        mapper = ReferenceMapper.fit(
            [bags[i] for i in range(len(held))],
            groups=[patient_of[name] for name in held],
            counts=(cohort.card.cells or CellsCard()).values == "counts",
            n_genes=(150,),
            penalty=(0.003, 0.01, 0.03),
        )
    mapper.save(path)
    stderr.print(f"wrote {path}: {len(mapper.labels)} labels by {len(mapper.genes)} genes", highlight=False)


def _processing(run: Path | None, overrides: list[str]) -> CellProcessing:
    """The processing of a run, or the default one, with overrides."""
    from experiments.config import load_run, with_overrides
    from features.cells.processing import CellProcessing

    base = CellProcessing() if run is None else load_run(run).features.processing
    return with_overrides(base, overrides)


def _show(store: CellStore, *, as_json: bool) -> None:
    """One row a sample: its cells, its types, and what quality control saw."""
    rows = store.inspect()
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in rows], indent=1))
        return
    from rich.table import Table

    from experiments.cli.output import stdout

    numbers = [name for name in dict.fromkeys(n for row in rows for n in row.numbers) if name != "n_cells_kept"]
    shown = [name for name in numbers if any(row.numbers.get(name) is not None for row in rows)]
    table = Table(box=None, pad_edge=False)
    table.add_column("sample")
    for name in ("cells", *(name.removesuffix("_share").replace("_", " ") for name in shown)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("cell types", no_wrap=True)
    for row in rows:
        known = [_number(name, row.numbers.get(name)) for name in shown]
        most = sorted(row.cell_types.items(), key=lambda item: -item[1])
        types = ", ".join(f"{name} {n / max(row.n_cells, 1):.0%}" for name, n in most[:3])
        table.add_row(row.sample_id, f"{row.n_cells:,}", *known, types + (", …" if len(most) > 3 else ""))
    stdout.print(table)


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1%}" if name.endswith("_share") else f"{value:,.0f}"
