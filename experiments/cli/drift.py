"""Commands about the model in use: drift."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from experiments.drift import Judgement


class Length(StrEnum):
    """Of a window."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def drift(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Where services count; default SEQUELA_HOME/use."),
    ] = None,
    window: Annotated[Length, typer.Option(help="Calendar stretches that are judged.")] = Length.WEEK,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write a page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Does a served model meet the patients it was trained on? Exit 1 when something has drifted in the last window.

    What `sequela serve` starts counts what comes, in tenths of the training patients; no value of anyone is kept.

    Example: sequela drift --window week --out drift.html
    """
    from experiments.drift import judge, windows_in, write_drift_page
    from experiments.home import Home
    from features.errors import SequelaError
    from serving.store import stored_manifest

    home = Home.current()
    windows = windows_in(folder or home.use, window.value)
    found = {model: stored_manifest(home.bentoml, model).reference for model in {one.model for one in windows}}
    judged = [one for w in windows if (reference := found[w.model]) is not None for one in judge(w, reference)]
    if not judged:
        msg = f"{', '.join(found)}: trained before references were kept; train and promote anew"
        raise SequelaError(msg)
    if out is not None:
        write_drift_page(out, judged)
    last = max(one.first for one in judged)
    if as_json:
        typer.echo(json.dumps([_plain(one) for one in judged], indent=1, allow_nan=False))
    else:
        for w in windows:
            alerts = [one for one in judged if one.alert and (one.model, one.first) == (w.model, w.first)]
            typer.echo(f"{w.first}  {w.model:32} {w.n_rows:7,} patients  {len(alerts)} alerts")
            for one in alerts:
                typer.echo(f"            {_said(one)}")
    if any(one.alert for one in judged if one.first == last):
        raise typer.Exit(1)


def _plain(one: Judgement) -> dict[str, object]:
    """As JSON has it: what is not known is null."""
    known = {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(one).items()
    }
    return known | {"first": f"{one.first}", "alert": one.alert}


def _said(one: Judgement) -> str:
    name = f"risk of {one.name}" if one.what == "risk" else one.name
    parts = []
    if one.shifted:
        parts.append(f"shifted: index {one.stability_index:.2f}, p {one.p:.2g}")
    if one.missing_otherwise:
        parts.append(f"missing {one.missing_share:.0%}, before {one.missing_share_before:.0%}, p {one.p_missing:.2g}")
    return f"{name}  {'; '.join(parts)}"
