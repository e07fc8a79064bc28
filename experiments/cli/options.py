"""What several commands make of their options; imports little, as commands are to start at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import SequelaError

if TYPE_CHECKING:
    from features.cohort import Cohort
    from features.patients import Patients


def names_of(text: str | None, option: str = "--adjust") -> list[str]:
    """The variables that an option names; none where it is not given.

    Raises:
        SequelaError: It is given and names none.
    """
    if text is None:
        return []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        msg = f"{option} {text}: names no variable; name one or more, or leave the option out"
        raise SequelaError(msg)
    return names


def require_new(out: Path | None) -> None:
    """Refuse a folder that holds something before anything is computed.

    Raises:
        SequelaError: It is there and holds something.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = f"--out {out}: exists and is not empty; choose another folder or remove it first"
        raise SequelaError(msg)


def everyone_of(cohort: Cohort, progress: Callable[[int, int], None]) -> Patients:
    """All patients of a cohort, with their cells from the feature store."""
    from experiments.data import all_patients
    from experiments.home import Home
    from features.cells.processing import CellProcessing

    return all_patients(cohort, CellProcessing(), Home.current().features, progress=progress)
