"""Log lines as JSON, for whoever collects them: time, level, logger, message, and the id of the request."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime

from serving.asking import ASKING


class JsonFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        now = ASKING.get()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"request_id": now.request_id} if now else {}),
        }
        if record.exc_info and record.exc_info[0] is not None:  # not its message: it may hold a patient's value
            line |= {"error": record.exc_info[0].__name__, "at": "".join(traceback.format_tb(record.exc_info[2]))}
        return json.dumps(line, ensure_ascii=False)


def log_as_json() -> None:
    """Let every handler that is there write JSON."""
    loggers = [logging.root, *(logging.getLogger(name) for name in ("bentoml", "circus", "uvicorn", "uvicorn.error"))]
    for handler in (handler for logger in loggers for handler in logger.handlers):
        handler.setFormatter(JsonFormatter())
