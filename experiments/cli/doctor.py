"""The command that looks at the installation."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False) -> None:
    """What is installed, on what machine, with which stores; what is wrong, and what to do. Exit 1 when something is.

    Example: sequela doctor
    """
    from experiments.doctor import examine
    from experiments.home import Home

    lines = []
    for line in examine(Home.current()):
        lines.append(line)
        if not as_json:
            state = "FAIL" if line.state == "fail" else line.state
            typer.echo(f"{state:4} {line.subject:14} {line.detail}")
            if line.remedy:
                typer.echo(f"{'':20}→ {line.remedy}")
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines], indent=1))
    if any(line.state == "fail" for line in lines):
        raise typer.Exit(1)
