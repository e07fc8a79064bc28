"""The command that asks a service about a cohort."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def request(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder; events may be absent.")],
    url: Annotated[str, typer.Option(help="Address of the service.")] = "http://127.0.0.1:3000",
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the key; else SEQUELA_KEY of the environment.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write .csv or .parquet instead of CSV to stdout.")
    ] = None,
    landmark_day: Annotated[float | None, typer.Option(help="Day to predict from; default the first.")] = None,
    horizon_days: Annotated[
        list[float] | None, typer.Option(help="Days after the landmark; repeat for several.")
    ] = None,
) -> None:
    """Predict every patient of a cohort through a service, some at a time; what fails on the way is asked again.

    Examples: sequela request cohorts/mine --out risks.csv

              sequela request cohorts/mine --url https://sequela.hospital.example --key-file ward.key
    """
    from experiments.cli.output import progress_bars
    from experiments.predict import write_predictions
    from experiments.requesting import request_cohort
    from serving.client import Client

    with progress_bars() as bar:
        table = request_cohort(
            Client(url, _key(key_file)),
            cohort,
            landmark_day=landmark_day,
            horizons_days=tuple(horizon_days) if horizon_days else None,
            progress=bar("patients"),
        )
    if out is None:
        typer.echo(table.to_csv(index=False), nl=False)
    else:
        write_predictions(table, out)


def _key(file: Path | None) -> str | None:
    """Never a word of the command line, where others on the machine see it."""
    from features.errors import SequelaError

    if file is None:
        return os.environ.get("SEQUELA_KEY")
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"--key-file {file}: cannot be read ({error.strerror}); it holds what `sequela keys add` printed"
        raise SequelaError(msg) from error
