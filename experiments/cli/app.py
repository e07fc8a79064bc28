"""The commands of `sequela`, in the order in which a researcher meets them."""

from __future__ import annotations

import typer

from experiments.cli import cohorts, configuration, doctor, features, reproduce, runs, services

app = typer.Typer(
    name="sequela",
    help="Predict long-term complications after CAR-T cell therapy, as competing risks, from single cells and clinic.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for command in (
    services.demo,
    cohorts.simulate,
    cohorts.check,
    features.features,
    configuration.init,
    configuration.config,
    configuration.schema,
    runs.train,
    reproduce.reproduce,
    runs.leaderboard,
    runs.promote,
    runs.predict,
    services.serve,
    services.ui,
    doctor.doctor,
):
    app.command(command.__name__)(command)
app.command("import")(cohorts.import_)
