"""Which model serves an endpoint, as the registry exports it: a small file that a running service follows."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from features.errors import SequelaError
from features.schema import Frozen


class ExportedChampion(Frozen):
    """The champion of an endpoint."""

    endpoint: str
    tag: str
    """In the model store."""
    version: str
    """In the registry."""
    run_id: str
    exported_at: AwareDatetime


def write_champion(path: Path, champion: ExportedChampion) -> None:
    """Say which model serves: the file is there whole, before and after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.part")
    beside.write_text(champion.model_dump_json(indent=1) + "\n", encoding="utf-8")
    beside.rename(path)


def read_champion(path: Path) -> ExportedChampion:
    """What `write_champion` wrote.

    Raises:
        SequelaError: The file cannot be read.
    """
    try:
        return ExportedChampion.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f"{path}: does not say which model serves; `sequela serve` or `sequela promote` write it again"
        raise SequelaError(msg) from error
