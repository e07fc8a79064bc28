"""Findings that a run has only where they were asked for: JSON beside its report, and absent where there is none."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import TypeVar

from features.schema import Frozen
from training.artifact.blocks import Measured
from training.evaluation.intervals import Interval

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


def measured(interval: Interval) -> Measured | None:
    """An interval as JSON knows it: NaN becomes None."""
    if not isfinite(interval.point):
        return None
    low, high = (end if isfinite(end) else None for end in (interval.low, interval.high))
    return Measured(point=interval.point, low=low, high=high)
