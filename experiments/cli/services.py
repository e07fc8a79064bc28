"""Commands that start something: demo, serve, ui."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def demo(
    patients: Annotated[int, typer.Option(min=100, help="Patients of the embedded, simulated cohort.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of the cohort and of the runs.")] = 0,
) -> None:
    """The whole way on the embedded cohort: simulate, check, train, compare, promote, serve, and ask for a prediction.

    Example: sequela demo
    """
    from experiments.demo import run_demo
    from experiments.home import Home

    run_demo(Home.current(), n_patients=patients, seed=seed)


def serve(
    endpoint: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose champion; needed where there are several.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
) -> None:
    """Serve the champion over HTTP with BentoML; the API page is at http://HOST:PORT/.

    Example: sequela serve --port 3000
    """
    from experiments import registry
    from experiments.home import Home
    from experiments.services import require_free, serve_command
    from experiments.tracking import open_store

    require_free(host, port)
    home = Home.current()
    champion = registry.find_champion(open_store(home), endpoint)
    command, environment = serve_command(home, champion.bento_tag, host, port)
    typer.echo(f"serving {champion.bento_tag} ({champion.endpoint}) on http://{host}:{port}", err=True)
    os.execve(sys.executable, command, environment)  # noqa: S606  signals reach BentoML directly


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Open the MLflow UI on the store, in the mode for model training.

    Example: sequela ui --port 5000
    """
    from experiments.home import Home
    from experiments.services import experiments_url, require_free, ui_command
    from experiments.tracking import open_store

    require_free(host, port)
    home = Home.current()
    client = open_store(home)
    for experiment in client.search_experiments():
        url = experiments_url(f"http://{host}:{port}", experiment.experiment_id)
        typer.echo(f"{experiment.name:20} {url}", err=True)
    command, environment = ui_command(home, host, port)
    os.execve(sys.executable, command, environment)  # noqa: S606  signals reach MLflow directly
