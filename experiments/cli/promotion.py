"""The command that moves models into service, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from experiments.home import Home
    from experiments.promotion.registry import Champion


def promote(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Name, id, or beginning of the id of a run.")] = None,
    gate: Annotated[
        Path | None, typer.Option(metavar="GATE.yaml", help="What it has to show; default configs/gate/default.yaml.")
    ] = None,
    override: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Promote it though the gate refuses it; recorded."),
    ] = None,
    challenger: Annotated[
        bool, typer.Option("--challenger", help="Make it the challenger, which is judged but serves nobody.")
    ] = False,
    endpoint: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose run is meant, where runs of several have one name.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the run's cohort lies now, if it was moved.")
    ] = None,
    rollback: Annotated[
        str | None, typer.Option(metavar="ENDPOINT", help="Instead, put back this endpoint's champion before.")
    ] = None,
    history: Annotated[
        str | None, typer.Option(metavar="ENDPOINT", help="Instead, list who served for this endpoint, and why.")
    ] = None,
) -> None:
    """Make a run's model the champion that serves, if it passes the gate; exit 1, and nothing moved, if it does not.

    Examples: sequela promote mixture --gate configs/gate/clinical.yaml

              sequela promote mixture --override "the champion's centre has closed"

              sequela promote --rollback severe_infection
    """
    from experiments.home import Home
    from experiments.store import open_store
    from features.errors import SequelaError

    if sum(one is not None for one in (run, rollback, history)) != 1:
        msg = "promote: name a run, or --rollback ENDPOINT, or --history ENDPOINT"
        raise SequelaError(f"{msg}; `sequela leaderboard EXPERIMENT` lists runs")
    home = Home.current()
    client = open_store(home)
    if history is not None:
        _show_history(client, history)
    elif rollback is not None:
        _roll_back(client, home, rollback)
    else:
        _promote(client, home, (run or "", endpoint, cohort), (gate, override), challenger=challenger)


def _promote(
    client: MlflowClient,
    home: Home,
    about: tuple[str, str | None, Path | None],
    asked: tuple[Path | None, str | None],
    *,
    challenger: bool,
) -> None:
    """Judge, show the verdict, and move."""
    from experiments.cli.output import progress_bars
    from experiments.promotion.candidate import Candidate
    from experiments.promotion.gate import DEFAULT_GATE, load_gate
    from experiments.promotion.promote import RefusedError, challenge, promote
    from experiments.promotion.shown import print_verdict
    from experiments.store import find_run

    (reference, endpoint, cohort), (path, override) = about, asked
    gate = load_gate(path or DEFAULT_GATE)
    candidate = Candidate(client, home, find_run(client, reference, endpoint), cohort)
    try:
        with progress_bars() as bar:
            told = bar("gate")
            if challenger:
                done = challenge(candidate, gate, progress=told)
            else:
                done = promote(candidate, gate, override=override, progress=told)
    except RefusedError as refused:
        print_verdict(refused.verdict)
        raise
    print_verdict(done.verdict)
    place = "challenger" if challenger else "champion"
    how = "" if done.moved or challenger else " (it was already)"
    _say(place, done.champion, how)


def _roll_back(client: MlflowClient, home: Home, endpoint: str) -> None:
    from experiments.promotion.promote import rollback

    champion = rollback(client, home, endpoint)
    _say("champion", champion)


def _say(place: str, champion: Champion, how: str = "") -> None:
    from experiments.cli.output import stdout

    line = f"{place} of {champion.endpoint}: version {champion.version}, run {champion.run_id}, {champion.bento_tag}"
    stdout.print(line + how, highlight=False, soft_wrap=True)


def _show_history(client: MlflowClient, endpoint: str) -> None:
    from experiments.promotion.history import entries
    from experiments.promotion.shown import print_history
    from features.errors import SequelaError

    known = entries(client, endpoint)
    if not known:
        msg = f"endpoint {endpoint}: nothing was promoted; `sequela promote RUN` does"
        raise SequelaError(msg)
    print_history(endpoint, known)
