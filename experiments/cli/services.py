"""Commands that start something: demo, serve, ui."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from serving.environment import MOST_DAYS


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
    keys: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="Keys of callers, from `sequela keys`; default SEQUELA_HOME/keys.json."),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append who asked for which patients, as keyed hashes; else not kept."),
    ] = None,
    audit_keep_days: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_DAYS, metavar="DAYS", help="Delete files of --audit put aside longer ago; else none is."
        ),
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep predictions, by pseudonym, until outcomes come; else not kept."),
    ] = None,
    ledger_keep_days: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_DAYS, metavar="DAYS", help="Delete files of --ledger of longer ago; else none is."
        ),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="The challenger answers the same requests, for the ledger alone.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Address under which others reach the service; cards link it.")
    ] = None,
    cds_clients: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="Clients of CDS Hooks and their public keys; else they show keys."),
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep what became of cards of CDS Hooks; else not kept."),
    ] = None,
    feedback_keep_days: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_DAYS, metavar="DAYS", help="Delete files of --feedback of longer ago; else none is."
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose clock says which day it is, as Europe/Berlin; else UTC."),
    ] = None,
) -> None:
    """Serve the champion over HTTP with BentoML; the API page is at http://HOST:PORT/.

    A promotion or a rollback is followed without a restart. Without keys, only this machine may ask, and no other
    address is listened on.

    Examples: sequela serve --port 3000

              sequela serve --host 0.0.0.0 --keys /etc/sequela/keys.json --audit /var/log/sequela/audit.jsonl

              sequela serve --ledger /var/lib/sequela/ledger --shadow

              sequela serve --public-url https://sequela.example --cds-clients clients.json --feedback feedback
    """
    from experiments.home import Home
    from experiments.promotion import registry
    from experiments.services import ServiceOptions, keys_for, require_free, serve_command
    from experiments.store import open_store
    from features.errors import SequelaError
    from serving.audit import AuditLog
    from serving.cds.clients import Clients
    from serving.cds.feedback import Feedback
    from serving.environment import address_in, time_zone_in
    from serving.ledger import Ledger

    if shadow and ledger is None:
        msg = "--shadow: what the challenger answers goes to a ledger and nowhere else; name one with --ledger FOLDER"
        raise SequelaError(msg)
    kept_for = (
        ("audit", audit_keep_days, audit),
        ("ledger", ledger_keep_days, ledger),
        ("feedback", feedback_keep_days, feedback),
    )
    for option, days, kept in kept_for:
        if days is not None and kept is None:
            msg = f"--{option}-keep-days {days}: there is nothing to delete; name what is kept with --{option}"
            raise SequelaError(msg)
    if time_zone is not None:
        time_zone_in("--time-zone", time_zone)
    home = Home.current()
    guarded = keys_for(home, host, keys)
    client = open_store(home)
    champion = registry.find_champion(client, endpoint)
    challenger = registry.challenger_tag(client, champion.endpoint) if shadow else None
    require_free(host, port)
    follow = registry.export_champion(home, champion)
    if audit is not None:
        AuditLog(audit, keep_days=audit_keep_days)  # refused here, and not by each worker
    if ledger is not None:
        Ledger(ledger, ledger_keep_days)
    if cds_clients is not None:
        Clients(cds_clients, address_in("--public-url", public_url or "", required_by="--cds-clients"))
    if feedback is not None:
        Feedback(feedback)
    options = ServiceOptions(
        keys=guarded,
        follow=follow,
        audit=audit,
        audit_keep_days=audit_keep_days,
        ledger=ledger,
        ledger_keep_days=ledger_keep_days,
        challenger=challenger,
        workers=workers,
        public_url=public_url,
        cds_clients=cds_clients,
        feedback=feedback,
        feedback_keep_days=feedback_keep_days,
        time_zone=time_zone,
    )
    command, environment = serve_command(home, champion.bento_tag, host, port, options)
    typer.echo(f"serving {champion.bento_tag} ({champion.endpoint}) on http://{host}:{port}", err=True)
    os.execve(sys.executable, command, environment)  # noqa: S606  signals reach BentoML directly


def ui(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN…]", help="Instead of experiments: one run's page, or compare runs."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    allowed_hosts: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Host names under which browsers may ask, e.g. lab.example:5000."),
    ] = None,
    cors_allowed_origins: Annotated[
        str | None, typer.Option(metavar="URLS", help="Other sites whose pages may ask, e.g. https://lab.example.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the first link in the browser.")] = False,
) -> None:
    """Open the MLflow UI on the store, in the mode for model training, and print links to its pages; Ctrl-C ends it.

    Where MLFLOW_TRACKING_URI is a server, only the links are printed.

    Examples: sequela ui --open

              sequela ui cox network
    """
    import webbrowser
    from contextlib import suppress

    from experiments.home import Home
    from experiments.services import address_of, require_free, running, ui_command
    from experiments.store import find_run, open_store
    from experiments.ui_links import compare_link, experiment_links, remote_address, run_link
    from features.errors import SequelaError

    home = Home.current()
    remote = remote_address(home)
    if remote is None:
        require_free(host, port)
    address = remote or address_of(host, port)
    client = open_store(home)
    named = [find_run(client, run, sweeps=True) for run in runs or ()]
    if len(named) > 1:
        links = [compare_link(address, named)]
    else:
        links = [run_link(address, run) for run in named] or experiment_links(client, address)

    def show() -> None:
        for link in links:
            typer.echo(f"{link.subject:32} {link.page:9} {link.url}")
        if open_browser:
            webbrowser.open(links[0].url if links else address)

    if remote is not None:
        show()
        return
    command, environment = ui_command(
        home, host, port, allowed_hosts=allowed_hosts, cors_allowed_origins=cors_allowed_origins
    )
    log = home.folder / "logs" / "ui.log"
    with running(command, environment, f"{address}/health", log) as server:
        show()
        typer.echo(f"MLflow on {address}; Ctrl-C ends it", err=True)
        with suppress(KeyboardInterrupt):
            code = server.wait()
            msg = f"MLflow ended by itself (exit code {code}); its log is {log}"
            raise SequelaError(msg)
