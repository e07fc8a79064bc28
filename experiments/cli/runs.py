"""Commands on runs: train, predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from experiments.cli.output import Advance
    from experiments.train import Progress


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
    from experiments.cli.output import progress_bars, stderr
    from experiments.config import load_run
    from experiments.home import Home
    from experiments.report import print_findings

    configs = [load_run(path, overrides or []) for path in runs]
    with progress_bars() as bar:
        from experiments.assist import assist
        from experiments.train import train as carry_out  # imports Lightning and MLflow: seconds
        from training.processes import join, leave, rank

        join()
        for config in configs:
            if rank():
                assist(config, Home.current())
                continue
            result = carry_out(config, Home.current(), run_progress(bar, config.name), resume=resume)
            print_findings(config.name, result.found)
            stderr.print(f"run {result.run_id}: report in {result.folder / 'report'}", highlight=False, soft_wrap=True)
            if result.waiting:
                told = f"run {result.run_id}: {result.waiting} items wait for MLflow; `sequela sync` delivers them"
                stderr.print(told, highlight=False, soft_wrap=True)
        leave()


def run_progress(bar: Callable[[str], Advance], name: str) -> Progress:
    """The progress bars of one run."""
    from experiments.train import Progress

    return Progress(*(bar(f"{name}: {step}") for step in ("cells", "folds", "trials", "epochs", "permutations")))


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An artifact folder, a run, or champion[:ENDPOINT].")],
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder; events may be absent.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write .csv or .parquet instead of CSV to stdout.")
    ] = None,
    landmark_day: Annotated[float | None, typer.Option(help="Day to predict from; default the first.")] = None,
    horizon_days: Annotated[
        list[float] | None, typer.Option(help="Days after the landmark; repeat for several.")
    ] = None,
) -> None:
    """Predict every patient of a cohort: one row a patient, cause and horizon.

    Example: sequela predict champion cohorts/mine --out risks.csv
    """
    from experiments.cli.output import progress_bars
    from experiments.home import Home
    from experiments.predict import predict_cohort, resolve_model, write_predictions

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
    if out is None:
        typer.echo(table.to_csv(index=False), nl=False)
    else:
        write_predictions(table, out)
