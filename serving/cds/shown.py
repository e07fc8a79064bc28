"""Which cards were shown, and by which service: read from the files that every worker writes them to."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

from pydantic import ConfigDict, ValidationError

from features.schema import Frozen
from serving.day_files import LINES, today

MOST = 100_000
"""Cards that are remembered, the latest; some 15 MB."""
DAYS = 30
"""For which a card may be told of; older files are not read."""


class _Shown(Frozen):
    """What is needed of a line; what else it says is not kept."""

    model_config = ConfigDict(extra="ignore")

    card: UUID
    service: str


class ShownCards:
    """Of a folder to which workers append, a file for each and day.

    Args:
        folder: It may hold files of others; those are left alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}
        """Bytes of each file that were read."""
        self._services: dict[bytes, str] = {}
        """By the card's id, in order of reading."""
        self._lock = threading.Lock()

    def service_of(self, card: str) -> str | None:
        """Which service showed a card; None where none is known to have.

        Raises:
            OSError: The files cannot be read.
        """
        key = UUID(card).bytes
        with self._lock:
            if key not in self._services:
                self._look()
            return self._services.get(key)

    def _look(self) -> None:
        """Read what was appended since."""
        oldest = (today() - timedelta(days=DAYS)).isoformat()
        there = [one.name for one in self._folder.iterdir() if re.fullmatch(LINES, one.name)]
        recent = sorted(name for name in there if name[: len(date.min.isoformat())] >= oldest)
        self._read = {name: self._read.get(name, 0) for name in recent}
        for name in recent:
            with suppress(FileNotFoundError):  # of a day that is no longer kept
                self._read[name] += self._take(self._folder / name, self._read[name])

    def _take(self, path: Path, start: int) -> int:
        """Take up the whole lines from a place on; how many bytes they are."""
        taken = 0
        with path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                taken += len(line)
                with suppress(ValidationError):
                    one = _Shown.model_validate_json(line)
                    self._services[one.card.bytes] = one.service
                while len(self._services) > MOST:
                    del self._services[next(iter(self._services))]
        return taken
