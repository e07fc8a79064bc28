"""Where studies are kept: any database that SQLAlchemy opens."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from features.errors import SequelaError

OPENING_SECONDS = 15
"""How long to wait for another process that is creating the same database or study."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where studies are kept, and when a worker is taken for dead."""

    url: str
    stale_after_seconds: int = 60
    """Without a heartbeat; four are sent in this time."""

    @property
    def shown(self) -> str:
        """The address without its password."""
        try:
            return make_url(self.url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            return "the storage's address"

    def open(self, on_stale: Callable[[FrozenTrial], None] | None = None) -> RDBStorage:
        """Connect; tables are created where there are none.

        Raises:
            SequelaError: The address is wrong, its driver is not installed, or nobody answers there.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        waiting = {"connect_args": {"timeout": 60}} if self.url.startswith("sqlite") else {}  # for others to write
        deadline = time.monotonic() + OPENING_SECONDS
        while True:
            try:
                with experimental():
                    storage = RDBStorage(
                        self.url,
                        engine_kwargs={"poolclass": NullPool} | waiting,  # nothing stays open between trials
                        heartbeat_interval=max(1, self.stale_after_seconds // 4),
                        grace_period=self.stale_after_seconds,
                        heartbeat_stale_trial_callback=None if on_stale is None else lambda _, trial: on_stale(trial),
                    )
                if self.url.startswith("sqlite"):
                    _one_at_a_time(storage.engine)
                return storage
            except ImportError as error:
                msg = f"{self.shown}: its driver is not installed ({error})"
                raise SequelaError(f"{msg}; for PostgreSQL: pip install 'psycopg[binary]'") from None
            except (SQLAlchemyError, StorageInternalError) as error:
                if time.monotonic() > deadline or not _may_be_a_race(error):
                    msg = f"{self.shown}: the studies' database cannot be opened; check --storage and that it runs"
                    raise SequelaError(msg) from None
                time.sleep(0.2)


def _one_at_a_time(engine: Engine) -> None:
    """Let sqlite's transactions follow one another, reading and writing.

    Optuna takes a trial by SELECT … FOR UPDATE, which sqlite does not know: two workers could take the same one. The
    recipe is SQLAlchemy's (Dialects, SQLite, "Serializable isolation").
    """

    def leave_transactions_to_us(connection: Any, record: object) -> None:  # noqa: ANN401  (a driver's connection)
        del record
        connection.isolation_level = None

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", leave_transactions_to_us)
    event.listen(engine, "begin", begin)


def _may_be_a_race(error: Exception) -> bool:
    """Whether another process may just have been creating the tables."""
    text = str(error.__cause__ or error).lower()
    return any(word in text for word in ("already exists", "unique", "locked", "duplicate"))


@contextmanager
def experimental() -> Iterator[None]:
    """What Optuna calls experimental has been there since 2.x; nobody needs to read so at each call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
