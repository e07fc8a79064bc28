"""Commands about the model in use: does it meet the patients it knows, and do its predictions come true?"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import SequelaError

if TYPE_CHECKING:
    from experiments.drift import Judgement
    from experiments.follow_up import Followed, Judged
    from experiments.home import Home
    from training.artifact.manifest import Manifest


ALERT = 3
"""Exit code of a command that found what somebody should look at; 1 is an error."""


class Length(StrEnum):
    """Of a window."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"


Out = Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write a page.")]
Metrics = Annotated[
    Path | None,
    typer.Option(metavar="FILE.prom", help="Also write metrics as Prometheus' node exporter reads them from files."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")]


def drift(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Where services count; default SEQUELA_HOME/use."),
    ] = None,
    window: Annotated[Length, typer.Option(help="Calendar stretches that are judged.")] = Length.WEEK,
    out: Out = None,
    metrics: Metrics = None,
    as_json: AsJson = False,
) -> None:
    """Does a served model meet the patients it was trained on? Exit 3 when something has drifted in the last window.

    What `sequela serve` starts counts what comes, in tenths of the training patients; no value of anyone is kept.

    Example: sequela drift --window week --out drift.html
    """
    from experiments.cli.output import put_json
    from experiments.drift import judge, latest, windows_in, write_drift_page
    from experiments.gauges import drift_gauges, write_gauges
    from experiments.home import Home

    home = Home.current()
    windows = windows_in(folder or home.use, window.value)
    found = {model: one.reference for model, one in _manifests(home, {one.model for one in windows}).items()}
    judged = [one for w in windows if (reference := found.get(w.model)) is not None for one in judge(w, reference)]
    if not judged:
        models = ", ".join(sorted({one.model for one in windows}))
        msg = f"{models}: not in the store, or trained before references were kept; train and promote anew"
        raise SequelaError(msg)
    if out is not None:
        write_drift_page(out, judged)
    if metrics is not None:
        write_gauges(metrics, drift_gauges(judged))
    if as_json:
        put_json([_plain_judged(one) for one in judged])
    else:
        for w in windows:
            alerts = [one for one in judged if one.alert and (one.model, one.first) == (w.model, w.first)]
            typer.echo(f"{w.first}  {w.model:32} {w.n_rows:7,} patients  {len(alerts)} alerts")
            for one in alerts:
                typer.echo(f"            {_said(one)}")
    if any(one.alert for one in latest(judged)):
        raise typer.Exit(ALERT)


def follow_up(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="The folder of `sequela serve --ledger`.")],
    outcomes: Annotated[
        Path | None,
        typer.Option(metavar="COHORT", help="What happened, as a cohort folder; default what services were told."),
    ] = None,
    window: Annotated[Length, typer.Option(help="Calendar stretches, by day of prediction.")] = Length.MONTH,
    out: Out = None,
    metrics: Metrics = None,
    as_json: AsJson = False,
) -> None:
    """Do a served model's predictions come true? Exit 3 when they do not in what was judged last.

    Predictions wait in a ledger until outcomes come, by POST /v1/outcomes or from a cohort folder; calibration and
    discrimination are then followed over time, and a challenger in the shadow is compared with the champion.

    Examples: sequela follow-up /var/lib/sequela/ledger --window quarter --out follow-up.html

              sequela follow-up ledger --outcomes cohorts/registry-2026
    """
    from experiments.cli.output import put_json
    from experiments.follow_up import (
        compare,
        followed_in,
        judge,
        latest,
        outcomes_of,
        predictions_in,
        unread,
        write_follow_up_page,
    )
    from experiments.gauges import follow_up_gauges, write_gauges
    from experiments.home import Home

    predicted = predictions_in(ledger)
    manifests = _manifests(Home.current(), {one.model for one in predicted})
    endpoints = {model: one.endpoint for model, one in manifests.items()}
    known = outcomes_of(ledger, outcomes)
    for name in unread(known, endpoints.values()):
        typer.echo(f"event {name}: no endpoint knows it, though one of a like name; it counts as no event", err=True)
    followed = followed_in(predicted, known, endpoints, window.value)
    judged = [one for part in followed for one in judge(part, manifests[part.model].metrics)]
    compared = compare(followed)
    _show_stretches(followed, judged, err=as_json)
    if not judged:
        raise SequelaError(_nothing_to_judge(ledger, followed))
    if out is not None:
        write_follow_up_page(out, judged, compared)
    if metrics is not None:
        write_gauges(metrics, follow_up_gauges(judged))
    if as_json:
        put_json({"judged": [_plain_judged(one) for one in judged], "compared": [asdict(one) for one in compared]})
    if any(one.alert for one in latest(judged)):
        raise typer.Exit(ALERT)


def forget(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="The folder of `sequela serve --ledger`.")],
    patients: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Ids as requests had them, one a line; - for stdin.",
            allow_dash=True,
            show_default=False,
        ),
    ],
) -> None:
    """Delete from a ledger all that was predicted for some patients, and their outcomes; services may run.

    Where a patient asks for it (GDPR, article 17). Ids stand in no shell history and in no log: they are read from a
    file, and only their number is told.

    Example: sequela forget /var/lib/sequela/ledger ids.txt
    """
    from serving.ledger import KEY, Ledger

    if not (ledger / KEY).exists():
        msg = f"{ledger}: is no ledger, which has a file {KEY}; name the folder of `sequela serve --ledger`"
        raise SequelaError(msg)
    ids = _ids_in(patients)
    try:
        n_lines, n_found = Ledger(ledger).forget(ids)
    except OSError as error:
        msg = f"{ledger}: cannot be changed ({error.strerror}); run this as the user that the service runs as, again"
        raise SequelaError(msg) from error
    typer.echo(f"{n_lines:,} lines of {n_found:,} patients deleted")
    if n_found < len(ids):
        typer.echo(f"of {len(ids) - n_found:,} ids the ledger holds nothing: are they as requests had them?", err=True)


def _ids_in(path: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}); give ids, one a line"
        raise SequelaError(msg) from error
    ids = list(dict.fromkeys(filter(None, (line.rstrip("\r") for line in text.split("\n")))))
    if not ids:
        msg = f"{path}: holds no id; give ids, one a line"
        raise SequelaError(msg)
    return ids


def _show_stretches(followed: Sequence[Followed], judged: Sequence[Judged], *, err: bool) -> None:
    for part in followed:
        alerts = [one for one in judged if one.alert and _stretch(one) == _stretch(part)]
        shadow = ", in the shadow" if part.shadow else ""
        known = f"{len(part.patient):,} of {part.n_predicted:,} patients followed"
        typer.echo(f"{part.first}  {part.model}{shadow}  {known}  {len(alerts)} alerts", err=err)
        for one in alerts:
            typer.echo(f"            {_came(one)}", err=err)


def _nothing_to_judge(ledger: Path, followed: Sequence[Followed]) -> str:
    from experiments.follow_up.judged import FEWEST

    if not followed:
        return (
            f"{ledger}: no prediction of a model in the store at all horizons of its endpoint; nothing can be compared"
        )
    most = max(len(part.patient) for part in followed)
    return (
        f"{ledger}: of no stretch {FEWEST} courses are known that reach the first horizon (at most {most} are known); "
        "tell outcomes by POST /v1/outcomes or --outcomes, or take a longer --window"
    )


def _manifests(home: Home, models: Iterable[str]) -> dict[str, Manifest]:
    """What the models are; those that were taken out of the store are told of and left out."""
    from serving.store import stored_manifest

    found = {}
    for model in sorted(models):
        try:
            found[model] = stored_manifest(home.bentoml, model)
        except SequelaError as error:
            typer.echo(f"left out: {error}", err=True)
    return found


def _stretch(one: Judged | Followed) -> tuple[str, date, bool]:
    return one.model, one.first, one.shadow


def _plain_judged(one: Judgement | Judged) -> dict[str, object]:
    return asdict(one) | {"alert": one.alert}


def _came(one: Judged) -> str:
    parts = []
    if one.miscalibrated:
        parts.append(f"observed over expected {one.o_e.point:.2f} [{one.o_e.low:.2f}, {one.o_e.high:.2f}]")
    if one.discriminates_less:
        auc = f"AUC {one.auc.point:.2f} [{one.auc.low:.2f}, {one.auc.high:.2f}]"
        parts.append(f"{auc}, in training {one.auc_before:.2f}")
    return f"{one.cause} by {one.horizon_days:g} days  {'; '.join(parts)}"


def _said(one: Judgement) -> str:
    name = f"risk of {one.name}" if one.what == "risk" else one.name
    parts = []
    if one.shifted:
        parts.append(f"shifted: index {one.stability_index:.2f}, p {one.p:.2g}")
    if one.missing_otherwise:
        parts.append(f"missing {one.missing_share:.0%}, before {one.missing_share_before:.0%}, p {one.p_missing:.2g}")
    return f"{name}  {'; '.join(parts)}"
