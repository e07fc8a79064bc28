"""The commands of `sequela`, in the order in which a researcher meets them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from experiments.cli import (
    benefit_risk,
    biomarkers,
    clones,
    cohorts,
    comparing,
    configuration,
    differential,
    doctor,
    effects,
    features,
    in_use,
    keys,
    mechanisms,
    monitoring,
    pretraining,
    promotion,
    reports,
    reproduce,
    runs,
    services,
    strategies,
    sweeps,
    sync,
)

app = typer.Typer(
    name="sequela",
    help="Predict long-term complications after CAR-T cell therapy, as competing risks, from single cells and clinic.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sequela {version('sequela')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


for command in (
    services.demo,
    cohorts.simulate,
    cohorts.check,
    features.features,
    configuration.init,
    configuration.config,
    configuration.schema,
    runs.train,
    sweeps.sweep,
    pretraining.pretrain,
    sync.sync,
    comparing.leaderboard,
    comparing.compare,
    comparing.added_value,
    reports.report,
    reproduce.reproduce,
    promotion.promote,
    runs.predict,
    services.serve,
    runs.request,
    services.ui,
    effects.effects,
    strategies.strategies,
    benefit_risk.benefit_risk,
    monitoring.monitor,
    clones.clones,
    biomarkers.biomarkers,
    mechanisms.mechanisms,
    differential.differential,
    in_use.drift,
    in_use.follow_up,
    in_use.forget,
    doctor.doctor,
):
    app.command(command.__name__.replace("_", "-"))(command)
app.command("import")(cohorts.import_)
app.add_typer(keys.keys)
