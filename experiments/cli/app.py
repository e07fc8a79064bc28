"""The commands of `sequela`, in the order in which a researcher meets them."""

from __future__ import annotations

import typer

from experiments.cli import (
    cohorts,
    comparing,
    configuration,
    doctor,
    features,
    keys,
    promotion,
    reports,
    reproduce,
    runs,
    services,
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
    doctor.doctor,
):
    app.command(command.__name__.replace("_", "-"))(command)
app.command("import")(cohorts.import_)
app.add_typer(keys.keys)
