"""Commands about watching patients: monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def monitor(
    run: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="A run whose endpoint has several landmarks.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. --set cohort=DIR.")
    ] = None,
    horizon: Annotated[
        float | None, typer.Option(metavar="DAYS", help="For which an alert is good; default the endpoint's decision.")
    ] = None,
    alerts: Annotated[
        list[float] | None,
        typer.Option(metavar="RATE", help="Alerts a patient and month that are borne; default 0.05, 0.1, 0.2, 0.5."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write a page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Would alerts by the model's risk come before the events, and how often? Beside scores, grades and single labs.

    The model is cross-validated as the run says; at every visit between the first and the last landmark its risk is
    predicted for patients it never saw. Rules are fixed on other patients than those on whom they are tried.

    Examples: sequela monitor configs/run/cox.yaml --set cohort=cohorts/mine --out monitor.html

              sequela monitor configs/run/network.yaml --set cohort=cohorts/mine --horizon 30 --alerts 0.2
    """
    from math import isfinite
    from tempfile import TemporaryDirectory

    from experiments.cli.output import progress_bars, put_json, stderr
    from experiments.config import load_run
    from experiments.home import Home
    from experiments.monitoring import monitor as watched
    from experiments.monitoring import plain, print_monitoring, write_monitoring_page
    from experiments.monitoring.analysis import BORNE
    from features.errors import SequelaError

    for rate in alerts or ():
        if not (isfinite(rate) and rate > 0):
            msg = f"--alerts {rate:g}: must be a number above 0, alerts a patient and month, such as 0.1"
            raise SequelaError(msg)
    config = load_run(run, overrides or [])
    with progress_bars() as bar, TemporaryDirectory() as folder:
        borne = sorted(set(alerts)) if alerts else BORNE
        found = watched(config, Home.current(), Path(folder), bar, horizon_days=horizon, borne=borne)
    if as_json:
        put_json(plain(found))
    else:
        print_monitoring(found)
    if out is not None:
        write_monitoring_page(out, found)
        stderr.print(f"wrote {out}", highlight=False, soft_wrap=True)
