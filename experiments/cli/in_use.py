"""Commands about the model in use: does it meet the patients it knows, and do its predictions come true?"""

from __future__ import annotations

import json
import math
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
    from training.artifact import Manifest


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
    """Does a served model meet the patients it was trained on? Exit 1 when something has drifted in the last window.

    What `sequela serve` starts counts what comes, in tenths of the training patients; no value of anyone is kept.

    Example: sequela drift --window week --out drift.html
    """
    from experiments.drift import judge, windows_in, write_drift_page
    from experiments.gauges import drift_gauges, write_gauges
    from experiments.home import Home

    home = Home.current()
    windows = windows_in(folder or home.use, window.value)
    found = {model: one.reference for model, one in _manifests(home, {one.model for one in windows}).items()}
    judged = [one for w in windows if (reference := found.get(w.model)) is not None for one in judge(w, reference)]
    if not judged:
        msg = f"{', '.join({one.model for one in windows})}: no reference is kept of it; train and promote anew"
        raise SequelaError(msg)
    if out is not None:
        write_drift_page(out, judged)
    if metrics is not None:
        write_gauges(metrics, drift_gauges(judged))
    if as_json:
        _put_json(judged)
    else:
        for w in windows:
            alerts = [one for one in judged if one.alert and (one.model, one.first) == (w.model, w.first)]
            typer.echo(f"{w.first}  {w.model:32} {w.n_rows:7,} patients  {len(alerts)} alerts")
            for one in alerts:
                typer.echo(f"            {_said(one)}")
    _end(judged)


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
    """Do a served model's predictions come true? Exit 1 when they do not in the last stretch that can be judged.

    Predictions wait in a ledger until outcomes come, by POST /v1/outcomes or from a cohort folder; calibration and
    discrimination are then followed over time, and a challenger in the shadow is compared with the champion.

    Examples: sequela follow-up /var/lib/sequela/ledger --window quarter --out follow-up.html

              sequela follow-up ledger --outcomes cohorts/registry-2026
    """
    from experiments.follow_up import compare, followed_in, judge, outcomes_of, write_follow_up_page
    from experiments.follow_up.joined import predictions_in
    from experiments.gauges import follow_up_gauges, write_gauges
    from experiments.home import Home

    predicted = predictions_in(ledger)
    manifests = _manifests(Home.current(), {one.model for one in predicted})
    endpoints = {model: one.endpoint for model, one in manifests.items()}
    followed = followed_in(predicted, outcomes_of(ledger, outcomes), endpoints, window.value)
    judged = [one for part in followed for one in judge(part, manifests[part.model].metrics)]
    compared = compare(followed)
    for part in followed:
        alerts = [one for one in judged if one.alert and _stretch(one) == _stretch(part)]
        shadow = ", in the shadow" if part.shadow else ""
        known = f"{len(part.patient):,} of {part.n_predicted:,} patients followed"
        typer.echo(f"{part.first}  {part.model}{shadow}  {known}  {len(alerts)} alerts", err=as_json)
        for one in alerts:
            typer.echo(f"            {_came(one)}", err=as_json)
    if not judged:
        msg = f"{ledger}: too few courses are known of any stretch; tell outcomes by POST /v1/outcomes or --outcomes"
        raise SequelaError(msg)
    if out is not None:
        write_follow_up_page(out, judged, compared)
    if metrics is not None:
        write_gauges(metrics, follow_up_gauges(judged))
    if as_json:
        _put_json(judged)
    _end([one for one in judged if not one.shadow])


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


def _put_json(judged: Sequence[Judgement | Judged]) -> None:
    plain = [_plain(asdict(one) | {"alert": one.alert}) for one in judged]
    typer.echo(json.dumps(plain, indent=1, allow_nan=False))


def _end(judged: Sequence[Judgement | Judged]) -> None:
    """Exit 1 when the last stretch has an alert."""
    last = max((one.first for one in judged), default=None)
    if any(one.alert for one in judged if one.first == last):
        raise typer.Exit(1)


def _plain(value: object) -> object:
    """As JSON has it: what is not known is null."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, float) and math.isnan(value):
        return None
    return f"{value}" if isinstance(value, date) else value


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
