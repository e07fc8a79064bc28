"""Patients under another name: keyed hashes (HMAC-SHA-256), which whoever holds the key file can compute again."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from features.errors import SequelaError

DIGITS = 32
"""Of a pseudonym: half of the hash, 128 bits."""


class Pseudonyms:
    """Under the key of one file.

    Args:
        key: The file.
        make: Whether a new key is made when there is none: for whoever writes pseudonyms, not for whoever reads them.

    Raises:
        OSError: The key cannot be read, or made.
        SequelaError: The file holds no key.
    """

    def __init__(self, key: Path, *, make: bool = False) -> None:
        if make and not key.exists():
            with suppress(FileExistsError):  # another was first
                _make(key)
        secret = key.read_bytes()
        if not re.fullmatch(rb"[0-9a-f]{64}", secret):
            msg = f"{key}: is no key of pseudonyms, 64 hexadecimal digits; restore it, or put it and its files aside"
            raise SequelaError(msg)
        self._secret = secret

    def of(self, patient_id: str) -> str:
        """A patient's other name."""
        return hmac.new(self._secret, patient_id.encode(), hashlib.sha256).hexdigest()[:DIGITS]


def _make(path: Path) -> None:
    """A new key, whole or not at all; FileExistsError where there is one."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)
