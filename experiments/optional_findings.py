"""Findings that a run has only where they were asked for: JSON beside its report, and absent where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from features.schema import Frozen

Finding = TypeVar("Finding", bound=Frozen)


def write_finding(found: Frozen | None, path: Path) -> None:
    """Write it; nothing where there is none."""
    if found is not None:
        path.write_text(found.model_dump_json(indent=1), "utf-8")


def read_finding(kind: type[Finding], path: Path) -> Finding | None:
    """What `write_finding` wrote; None where it wrote nothing.

    Raises:
        OSError, ValueError: It cannot be read.
    """
    return kind.model_validate(json.loads(path.read_text("utf-8"))) if path.exists() else None
