"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "fail"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at; a note is worth knowing, a failure has to be mended."""

    subject: str
    state: State
    detail: str
    remedy: str = ""
    """What to do; empty where all is well."""
