"""How a page of results came to be: the command as it was given, the commit, the day and the machine."""

from __future__ import annotations

import datetime as dt
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PLACES = ("--data", "--work", "--cache", "--results", "--workers")
"""Options that say where and by how many processes, not what: left out of a page."""


def made_by(module: str, arguments: Sequence[str] | None = None) -> str:
    """The sentence of a page that says how it was made; `arguments` are the command line's, unless given."""
    given = _without_places(sys.argv[1:] if arguments is None else arguments)
    command = shlex.join(["python", "-m", module, *given])
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU"
    return f"Made by `{command}` on {run_of()}, on {machine}."


def run_of() -> str:
    """The day and the commit: ``2026-11-24 (eea027a)``, with a plus where files differ from the commit."""
    commit, changed = (_git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "--untracked-files=no"))
    at = f" ({commit}{'+' if changed else ''})" if commit else ""
    return f"{dt.datetime.now(tz=dt.UTC).date()}{at}"


def _without_places(arguments: Sequence[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument.split("=")[0] not in PLACES:
            kept.append(argument)
        skip = argument in PLACES
    return kept


def _git(*command: str) -> str:
    try:
        done = subprocess.run(["git", *command], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
