"""Files that are whole or not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of the file when the block ends, and is gone if that fails.

    Readers see the old file or the new one, and several writers do not meet.

    Args:
        path: Of the file; its folder exists.

    Raises:
        OSError: It cannot be written there.
    """
    part = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
