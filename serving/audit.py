"""An audit log, where one is wanted: who asked for which patients, when, of which model. No values, no names.

A line of JSON a request, appended in one write, so that several workers may share the file; a patient is named by its
pseudonym. A full file is put aside under the time of its end. What cannot be written is not answered.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from features.errors import SequelaError
from serving.asking import Asking
from serving.pseudonyms import Pseudonyms

MAX_BYTES = 64 * 2**20


class AuditLog:
    """One file, and beside it ``NAME.key``, which is made when there is none.

    Args:
        path: Of the file; its folder must exist.
        max_bytes: A file that has so many is put aside.

    Raises:
        SequelaError: The file or its key cannot be written.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path, self.max_bytes = path, max_bytes
        try:
            self._pseudonyms = Pseudonyms(path.with_name(f"{path.name}.key"), make=True)
            path.touch(mode=0o600)
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
                if os.fstat(file).st_size < self.max_bytes and self._is_current(file):
                    return file
                fcntl.flock(file, fcntl.LOCK_EX)
                if self._is_current(file) and os.fstat(file).st_size >= self.max_bytes:
                    ended = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
                    self.path.rename(self.path.with_name(f"{self.path.name}.{ended}"))
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _is_current(self, file: int) -> bool:
        with suppress(FileNotFoundError):
            return self.path.stat().st_ino == os.fstat(file).st_ino
        return False
