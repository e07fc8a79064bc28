"""Files of one day each: how workers write them apart, and how long they are kept."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from secrets import token_hex

from pydantic import BaseModel

from features.files import written_beside

logger = logging.getLogger("bentoml.sequela")

LINES = r"(?P<day>\d{4}-\d\d-\d\d)-.+\.jsonl"
"""Names of the files."""
LEFT_BEHIND_SECONDS = 3600.0
"""After which what was written beside is of who was killed meanwhile."""


class DayFiles:
    """Folders of lines of JSON, a file for each worker and day, readable by their owner alone.

    Args:
        folder: In which the folders lie; it is made when there is none.
        kinds: Names of the folders.
        keep_days: Files of more days ago are deleted; None: none is.

    Raises:
        OSError: They cannot be made.
    """

    def __init__(self, folder: Path, kinds: Sequence[str], keep_days: int | None = None) -> None:
        self.folder, self.kinds, self.keep_days = folder, tuple(kinds), keep_days
        for kind in kinds:
            (folder / kind).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._worker = worker_name()
        self._lock = threading.Lock()
        self._looked: date | None = None
        """The day on which files of past days were last looked for."""
        self._forget()

    def append(self, kind: str, now: datetime, lines: Sequence[BaseModel]) -> None:
        """All lines in one write: others read while we append.

        Raises:
            OSError: It cannot be written.
        """
        content = "".join(f"{line.model_dump_json()}\n" for line in lines).encode()
        path = self.folder / kind / f"{now:%Y-%m-%d}-{self._worker}.jsonl"
        with self._lock:
            self._forget()
            file = _held(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            before = os.fstat(file).st_size
            try:
                if os.write(file, content) != len(content):
                    msg = "no space left"
                    raise OSError(msg)
            except OSError:
                os.ftruncate(file, before)  # no part of a line stays: nobody else writes to this file
                raise
            finally:
                os.close(file)

    def drop(self, kind: str, is_dropped: Callable[[bytes], bool]) -> int:
        """Delete lines, also of workers that run; the others stay, in their order.

        Each file is written beside and renamed: it is never read half, and no line is lost if we are stopped.

        Args:
            kind: Name of the folder.
            is_dropped: Whether a line goes.

        Returns:
            How many lines went.

        Raises:
            OSError: A file cannot be read or written.
        """
        n_dropped = 0
        _delete_left_behind(self.folder / kind)
        for path in sorted((self.folder / kind).iterdir()):
            if re.fullmatch(LINES, path.name) is None:
                continue
            try:
                file = _held(path, os.O_RDWR)  # NFS locks what can be written
            except FileNotFoundError:  # of a day that is no longer kept
                continue
            try:
                lines = path.read_bytes().splitlines(keepends=True)
                kept = [line for line in lines if not is_dropped(line)]
                if len(kept) < len(lines):
                    with written_beside(path) as beside:
                        _write_as(beside, b"".join(kept), os.fstat(file))
                    n_dropped += len(lines) - len(kept)
            finally:
                os.close(file)
        return n_dropped

    def _forget(self) -> None:
        """Delete what is older than it is kept, once a day."""
        if self.keep_days is not None and self._looked != (now := today()):
            self._looked = now
            for kind in self.kinds:
                delete_older(self.folder / kind, LINES, self.keep_days)
                _delete_left_behind(self.folder / kind)


def _held(path: Path, how: int) -> int:
    """The file of this name, open and ours alone until it is closed: who replaces it, and who appends, wait."""
    while True:
        file = os.open(path, how, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.stat().st_ino == os.fstat(file).st_ino:
                return file
        except FileNotFoundError:  # deleted, or being replaced
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _delete_left_behind(folder: Path) -> None:
    for path in folder.glob(".*.part"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > LEFT_BEHIND_SECONDS:
                path.unlink()


def _write_as(path: Path, content: bytes, former: os.stat_result) -> None:
    """A file of the owner and mode of a former one: whoever could write to that can write to this.

    Raises:
        OSError: It cannot be written, or not for that owner.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if (former.st_uid, former.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(file.fileno(), former.st_uid, former.st_gid)
        os.fchmod(file.fileno(), former.st_mode & 0o777)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def worker_name() -> str:
    """Of this process, for names of files: another at each start, for process ids come again."""
    return f"{os.getpid()}-{token_hex(3)}"


def today() -> date:
    """UTC."""
    return datetime.now(UTC).date()


def delete_older(folder: Path, name: str, keep_days: int) -> None:
    """Delete the files of more than so many days ago; what cannot be deleted is logged, and tried again the next day.

    Args:
        folder: In which they lie.
        name: Regular expression of their names, whose group ``day`` is an ISO date; other files stay.
        keep_days: Today is day 0.
    """
    oldest = today() - timedelta(days=keep_days)
    try:
        for path in folder.iterdir():
            found = re.fullmatch(name, path.name)
            if found is not None and _day(found["day"]) < oldest:
                path.unlink(missing_ok=True)  # several workers look
    except OSError as error:
        logger.error("%s: files of past days cannot be deleted (%s)", folder, error.strerror or error)


def _day(text: str) -> date:
    with suppress(ValueError):
        return date.fromisoformat(text)
    return date.max  # no day, and none of ours
