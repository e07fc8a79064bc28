"""Keys of applications that call the service: made here, kept as hashes, read again when their file changes.

A key is 32 random bytes, so a plain SHA-256 of it tells nothing and cannot be searched through; slow password hashes
are for secrets that people choose.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError

from features.errors import SequelaError
from features.schema import Frozen
from serving.watched import WatchedFile

logger = logging.getLogger("bentoml.sequela")

Scope = Literal["predict", "explain", "outcomes", "admin"]
"""``predict``: predictions, scores and the model card; ``explain``: contributions and courses; ``outcomes``: telling
what became of patients; ``admin``: metrics."""
PREFIX = "sequela"
LOOK_AGAIN_SECONDS = 1.0
"""A key that was added or revoked is known after at most so long."""
_NOBODY = hashlib.sha256(b"nobody").hexdigest()


class Key(Frozen):
    """What is kept of a key."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    """Not secret: told in logs, and by which it is revoked."""
    name: Annotated[str, Field(min_length=1, max_length=100)]
    """The application, for people."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the secret part."""
    scopes: tuple[Scope, ...]
    made_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """More are answered 429; absent: no limit."""


class _KeyFile(Frozen):
    keys: tuple[Key, ...] = ()


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file; none if it is not there.

    Raises:
        SequelaError: The file is not one of keys, or is open to others on this machine.
    """
    try:
        if path.stat().st_mode & 0o077:
            msg = f"{path}: can be read by other users of this machine; chmod 600 {path}"
            raise SequelaError(msg)
        return _KeyFile.model_validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return ()
    except (ValidationError, OSError) as error:
        msg = f"{path}: is no file of keys as `sequela keys add` writes it; make it again, or restore it"
        raise SequelaError(msg) from error


def add_key(
    path: Path,
    name: str,
    scopes: Iterable[Scope],
    *,
    days: float | None = None,
    requests_per_minute: int | None = None,
) -> tuple[Key, str]:
    """Make a key, and keep its hash in a file.

    Args:
        path: The file; made if it is not there.
        name: The application.
        scopes: What it may do.
        days: After which it is refused; None: never.
        requests_per_minute: At most.

    Returns:
        What is kept, and the key itself, which is told this once.

    Raises:
        SequelaError: The file is none of keys.
    """
    secret, now = secrets.token_urlsafe(32), datetime.now(UTC)
    key = Key(
        id=secrets.token_hex(4),
        name=name,
        sha256=_hash(secret),
        scopes=tuple(dict.fromkeys(scopes)),
        made_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
        requests_per_minute=requests_per_minute,
    )
    with _alone(path):
        _write(path, (*read_keys(path), key))
    return key, f"{PREFIX}_{key.id}_{secret}"


def revoke_key(path: Path, key_id: str) -> Key:
    """Take a key out of a file; running services refuse it within a second.

    Raises:
        SequelaError: There is none of that id.
    """
    with _alone(path):
        keys = read_keys(path)
        for key in keys:
            if key.id == key_id:
                _write(path, tuple(other for other in keys if other.id != key_id))
                return key
    msg = f"{path}: holds no key {key_id}; it holds {', '.join(key.id for key in keys) or 'none'}"
    raise SequelaError(msg)


class KeyRing:
    """The keys of a file that may change while it is in use."""

    def __init__(self, path: Path) -> None:
        self._file, self._looked = WatchedFile(path), time.monotonic()
        self._keys = {key.id: key for key in read_keys(path)}

    def find(self, token: str) -> Key | None:
        """The key that a caller shows, if it is one and has not expired. Takes as long for a wrong one."""
        self._look_again()
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self._keys.get(key_id)
        right = hmac.compare_digest(_hash(secret), _NOBODY if key is None else key.sha256)
        if key is None or not right or prefix != PREFIX:
            return None
        return None if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else key

    def _look_again(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_AGAIN_SECONDS:
            return
        self._looked = now
        if self._file.changed():
            try:
                self._keys = {key.id: key for key in read_keys(self._file.path)}
            except SequelaError as error:
                logger.error("Keys stay as they were: %s", error)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While the block runs, no other process changes the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    """Beside, then renamed; readable by its owner alone."""
    content = json.dumps(_KeyFile(keys=keys).model_dump(mode="json"), indent=1)
    beside = path.with_suffix(f".{os.getpid()}.part")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
