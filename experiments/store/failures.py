"""What an error of MLflow's store means: try again later, never, or mend the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import InvalidUrlException, MlflowException
from sqlalchemy.exc import OperationalError

from experiments.home import Home
from features.errors import SequelaError


class OutageError(Exception):
    """The store does not answer, answers too late, or has no space: trying again later may help."""


class RefusedError(Exception):
    """The store answers, and will never take this."""


@contextmanager
def asking(home: Home) -> Iterator[None]:
    """Say what an error of the store means.

    Raises:
        OutageError: Later may help.
        SequelaError: The configuration is wrong: address, name, password, version.
        RefusedError: Something was asked that the store does not do.
    """
    try:
        yield
    except (MlflowException, OSError, OperationalError) as error:
        reason = " ".join(str(error).split())[:200]
        if _is_misconfigured(error):
            msg = (
                f"{shown(home.tracking_uri)}: refuses us ({reason}); check MLFLOW_TRACKING_URI, "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or unset them to track in SEQUELA_HOME"
            )
            raise SequelaError(msg) from error
        status = _status(error)
        if status in {408, 429} or status >= 500:
            raise OutageError(reason) from error
        raise RefusedError(reason) from error


def _status(error: Exception) -> int:
    """As HTTP counts; 503 for what never got so far."""
    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    answer = getattr(error, "response", None)  # of requests' errors, which are OSErrors
    return 503 if answer is None else int(answer.status_code)


def _is_misconfigured(error: Exception) -> bool:
    if isinstance(error, InvalidUrlException) or _status(error) in {401, 403}:
        return True
    text = str(error)
    return any(
        words in text for words in ("database schema", "password authentication failed", "no password supplied")
    ) or ("FATAL" in text and "does not exist" in text)


def shown(uri: str) -> str:
    """Without a password."""
    before, at, behind = uri.rpartition("@")
    return f"{before.partition('://')[0]}://…@{behind}" if at else uri
