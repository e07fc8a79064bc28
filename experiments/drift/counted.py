"""The counts that services wrote, added up over workers and the days of a window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from experiments.windows import Length, first_day, n_looks
from features.drift import Spread
from features.errors import SequelaError
from serving.day_files import today
from serving.use import DayCounts


@dataclass(frozen=True, slots=True)
class Window:
    """What one model version met in a stretch of time."""

    model: str
    first: date
    """Its first day, UTC; weeks begin on Monday."""
    n_rows: int
    inputs: Mapping[str, Spread]
    risks: Mapping[str, Spread]
    n_looks: int = 1
    """How often it is judged by whoever looks every day (`experiments.windows.n_looks`)."""


def windows_in(folder: Path, length: Length) -> list[Window]:
    """Windows by model version and time.

    Args:
        folder: Where services count.
        length: Of a window.

    Raises:
        SequelaError: There is none, or a file is not one of counts.
    """
    groups: dict[tuple[str, date], list[DayCounts]] = {}
    for path in sorted(folder.glob("*/*.json")):
        try:
            counts = DayCounts.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            msg = f"{path}: is no file of counts as a service writes it; put it aside"
            raise SequelaError(msg) from error
        groups.setdefault((counts.model, first_day(counts.day, length)), []).append(counts)
    if not groups:
        msg = f"{folder}: holds no counts; services that `sequela serve` starts write them there once a minute"
        raise SequelaError(msg)
    return [
        Window(
            model,
            first,
            sum(day.n_rows for day in days),
            added([day.inputs for day in days]),
            added([day.risks for day in days]),
            n_looks(first, length, today()),
        )
        for (model, first), days in sorted(groups.items())
    ]


def added(parts: Sequence[Mapping[str, Spread]]) -> dict[str, Spread]:
    """Counts of the same variables, added up."""
    return {name: _sum(part[name] for part in parts) for name in parts[0]}


def _sum(spreads: Iterable[Spread]) -> Spread:
    every = list(spreads)
    counts = zip(*(spread.counts for spread in every), strict=True)
    return Spread(edges=every[0].edges, counts=tuple(map(sum, counts)), missing=sum(one.missing for one in every))
