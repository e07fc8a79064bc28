"""An audit log, where one is wanted: who asked for which patients, when, of which model. No values, no names.

A line of JSON a request, appended in one write, so that several workers may share the file; a patient is named by its
pseudonym. A full file is put aside under the time of its end. Where a number of days was said, a file is also put aside
when the next day begins, and deleted after so many. What cannot be written is not answered.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from features.errors import SequelaError
from serving.asking import Asking
from serving.day_files import delete_older, today
from serving.pseudonyms import Pseudonyms

MAX_BYTES = 64 * 2**20
_ENDED = r"\.(?P<day>\d{8})T\d{6}\.\d{6}Z"
"""Of the name of a file that was put aside."""


class AuditLog:
    """One file, and beside it ``NAME.key``, which is made when there is none.

    Args:
        path: Of the file; its folder must exist.
        max_bytes: A file that has so many is put aside.
        keep_days: Files that were put aside more days ago are deleted; None: none is.

    Raises:
        SequelaError: The file or its key cannot be written.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, keep_days: int | None = None) -> None:
        self.path, self.max_bytes, self.keep_days = path, max_bytes, keep_days
        try:
            self._pseudonyms = Pseudonyms(path.with_name(f"{path.name}.key"), make=True)
            os.close(self._opened())
        except OSError as error:
            msg = f"{path}: cannot be written ({error.strerror}); name a file in a folder that exists and is ours"
            raise SequelaError(msg) from error

    def write(self, who: Asking, action: str, model: str | None, status: int, patient_ids: Sequence[str]) -> None:
        """Append what was answered.

        Raises:
            OSError: It cannot be written.
        """
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": who.request_id,
            "key": who.key_id,
            "action": action,
            "model": model,
            "status": status,
            "patients": [self._pseudonyms.of(patient_id) for patient_id in patient_ids],
        }
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        file = self._opened()
        try:
            if os.write(file, line) != len(line):
                os.write(file, b"\n")  # the next entry begins on a line of its own
                msg = "no space left"
                raise OSError(msg)
        finally:
            os.close(file)

    def _opened(self) -> int:
        """The file, shared with other workers; a full one is put aside by whoever is first to hold it alone."""
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)  # NFS locks what can be read
            try:
                fcntl.flock(file, fcntl.LOCK_SH)
                if not self._has_ended(file) and self._is_current(file):
                    return file
                fcntl.flock(file, fcntl.LOCK_EX)
                if self._is_current(file) and self._has_ended(file):
                    self._put_aside()
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _has_ended(self, file: int) -> bool:
        """Whether it is full, or what was last written to it is of an earlier day."""
        found = os.fstat(file)
        of_today = self.keep_days is None or datetime.fromtimestamp(found.st_mtime, UTC).date() >= today()
        return found.st_size >= self.max_bytes or (found.st_size > 0 and not of_today)

    def _put_aside(self) -> None:
        ended = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self.path.rename(self.path.with_name(f"{self.path.name}.{ended}"))
        if self.keep_days is not None:
            delete_older(self.path.parent, re.escape(self.path.name) + _ENDED, self.keep_days)

    def _is_current(self, file: int) -> bool:
        with suppress(FileNotFoundError):
            return self.path.stat().st_ino == os.fstat(file).st_ino
        return False
