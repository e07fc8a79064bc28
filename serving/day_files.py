"""Files of one day each: how workers name them apart, and how long they are kept."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from secrets import token_hex

logger = logging.getLogger("bentoml.sequela")


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
