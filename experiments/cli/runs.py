"""Commands on runs and what becomes of them: train, predict, request."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from experiments.cli.output import Advance
    from experiments.config import RunConfig
    from experiments.courier import Courier
    from experiments.home import Home
    from experiments.progress import Progress


def train(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN.yaml…", help="One or more run configurations.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. --set model.bins=32.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the unfinished run of this configuration.")] = False,
) -> None:
    """Cross-validate a model, fit it on everyone, and track it: nested MLflow runs, predictions, scores, artifact.

    Examples: sequela train configs/run/cox.yaml configs/run/network.yaml --set cohort=cohorts/mine --set seed=1

              torchrun --nproc-per-node 4 --no-python sequela train configs/run/set_transformer.yaml
    """
    from experiments.courier import start_courier
    from experiments.home import Home

    home = Home.current()
    leads = os.environ.get("RANK", "0") == "0"  # of those that torchrun starts
    with start_courier(home) if leads else nullcontext() as courier:  # imports MLflow beside what follows: seconds
        from experiments.cli.output import progress_bars
        from experiments.config import load_run

        configs = [load_run(path, overrides or []) for path in runs]
        with progress_bars() as bar:
            from training.loops.processes import join, leave  # imports PyTorch and Lightning: seconds

            join()
            for config in configs:
                _train(config, home, run_progress(bar, config.name), courier, resume=resume)
            leave()


def _train(config: RunConfig, home: Home, progress: Progress, courier: Courier | None, *, resume: bool) -> None:
    """One run, and what is said of it at its end; under torchrun, this process's part in it."""
    from experiments.assist import assist
    from experiments.cli.output import stderr
    from experiments.report import print_findings
    from experiments.train import train as carry_out
    from training.loops.processes import rank

    if rank():
        assist(config, home)
        return
    result = carry_out(config, home, progress, courier=courier, resume=resume)
    print_findings(config.name, result.found)
    run, report = result.run_id, result.folder / "report"
    page = "" if result.waiting else f"; `sequela ui {run}` opens its page"
    stderr.print(f"run {run}: report in {report}{page}", highlight=False, soft_wrap=True)
    if result.waiting:
        told = f"run {run}: {result.waiting} items wait for MLflow; `sequela sync` delivers them"
        stderr.print(told, highlight=False, soft_wrap=True)


def run_progress(bar: Callable[[str], Advance], name: str) -> Progress:
    """The progress bars of one run."""
    from experiments.progress import Progress

    return Progress(*(bar(f"{name}: {step}") for step in ("cells", "folds", "trials", "epochs", "permutations")))


Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write .csv or .parquet instead of CSV to stdout.")]
LandmarkDay = Annotated[float | None, typer.Option(help="Day to predict from; default the first.")]
HorizonDays = Annotated[list[float] | None, typer.Option(help="Days after the landmark; repeat for several.")]


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An artifact folder, a run, or champion[:ENDPOINT].")],
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder; events may be absent.")],
    out: Out = None,
    landmark_day: LandmarkDay = None,
    horizon_days: HorizonDays = None,
) -> None:
    """Predict every patient of a cohort: one row a patient, cause and horizon.

    Example: sequela predict champion cohorts/mine --out risks.csv
    """
    from experiments.cli.output import progress_bars
    from experiments.home import Home
    from experiments.predict import predict_cohort, resolve_model

    home = Home.current()
    artifact = resolve_model(model, home)
    horizons = tuple(horizon_days) if horizon_days else None
    with progress_bars() as bar:
        table = predict_cohort(
            artifact,
            cohort,
            home.features,
            landmark_day=landmark_day,
            horizons_days=horizons,
            progress=bar("storing cells"),
        )
    _put_out(table, out)


def request(
    cohort: Annotated[
        Path, typer.Argument(metavar="COHORT|CELLS", help="A cohort folder; or .h5ad or .zarr: each sample a patient.")
    ],
    material: Annotated[str | None, typer.Option(help="Of the samples of CELLS, e.g. infusion_product.")] = None,
    day: Annotated[float | None, typer.Option(help="Since infusion, of the samples of CELLS.")] = None,
    url: Annotated[str, typer.Option(help="Address of the service.")] = "http://127.0.0.1:3000",
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the key; else SEQUELA_KEY of the environment.")
    ] = None,
    out: Out = None,
    landmark_day: LandmarkDay = None,
    horizon_days: HorizonDays = None,
) -> None:
    """Predict every patient of a cohort through a service, some at a time; what fails on the way is asked again.

    Examples: sequela request cohorts/mine --out risks.csv

              sequela request cohorts/mine --url https://sequela.hospital.example --key-file ward.key

              sequela request cells.h5ad --material infusion_product --day -1
    """
    from experiments.cli.output import progress_bars
    from experiments.requesting import request_cells, request_cohort
    from features.errors import SequelaError
    from serving.client import Client

    client, horizons = Client(url, _key(key_file)), tuple(horizon_days) if horizon_days else None
    is_cells = cohort.suffix in {".h5ad", ".zarr"}
    if not is_cells == (material is not None) == (day is not None):
        msg = f"{cohort}: --material and --day go with a file of cells (.h5ad, .zarr), and only with one; give both"
        raise SequelaError(msg)
    with progress_bars() as bar:
        shown = bar("patients")
        if material is not None and day is not None:
            table = request_cells(
                client, cohort, material, day, landmark_day=landmark_day, horizons_days=horizons, progress=shown
            )
        else:
            table = request_cohort(client, cohort, landmark_day=landmark_day, horizons_days=horizons, progress=shown)
    _put_out(table, out)


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


def _put_out(table: pd.DataFrame, out: Path | None) -> None:
    """To a file, or as CSV to stdout."""
    from experiments.predict import write_predictions

    if out is None:
        typer.echo(table.to_csv(index=False), nl=False)
    else:
        write_predictions(table, out)
