"""A file that may change while it is in use."""

from __future__ import annotations

from pathlib import Path


class WatchedFile:
    """Says whether a file is another than when it was last asked about; an absent file is a state like others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._state()

    def changed(self) -> bool:
        """Whether it changed since this was last asked, or since it is watched."""
        before, self._seen = self._seen, self._state()
        return self._seen != before

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
