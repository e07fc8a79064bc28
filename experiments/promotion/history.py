"""Who served when and why: the entries of an endpoint's history, kept as tags of its registered model.

Which version serves is what the alias ``champion`` says, and setting it is one transaction; MLflow has none over
several aliases and tags. So an entry is written first (not yet done), then the alias is moved, then all else is brought
in line with it and the entry marked as done. A process killed in between leaves an entry that is not done: `settle`,
with which the next promotion begins, takes it back if the alias was not moved, and brings it to its end if it was.
"""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
PREFIX = "sequela.history."
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""Codes of MLflow for a model, a version or an alias that is not there."""
Found = TypeVar("Found")
Action = Literal["promoted", "rolled back", "set outside"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the champion."""

    version: str
    """That serves from then on."""
    replaced: str | None
    """The version that served before."""
    action: Action
    """``set outside``: the alias was moved by other means than ours."""
    run_id: str = ""
    gate: str | None = None
    passed: bool | None = None
    """Whether the gate was passed; None where none was asked."""
    override: str | None = None
    """The reason for which it serves though it failed."""
    at: str = ""
    """When, ISO 8601, UTC."""
    by: str = ""
    """The user's name on the machine."""
    done: bool = False
    key: str = ""
    """Of its tag; in the order of time."""


def user() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def entries(client: MlflowClient, endpoint: str) -> list[Entry]:
    """An endpoint's history, oldest first; empty where there is none."""
    model = _if_known(lambda: client.get_registered_model(endpoint))
    tags = {} if model is None else model.tags
    return [Entry(**json.loads(tags[key]), key=key) for key in sorted(tags) if key.startswith(PREFIX)]


def standing(history: Sequence[Entry]) -> list[str]:
    """The versions that a rollback goes through, the one that serves last: promotions add one, rollbacks take one."""
    stack: list[str] = []
    for entry in history:
        if entry.action == "rolled back":
            stack = stack[:-1]
        elif not stack and entry.replaced is not None:
            stack = [entry.replaced]
        if not stack or stack[-1] != entry.version:
            stack.append(entry.version)
    return stack


def move(client: MlflowClient, endpoint: str, entry: Entry) -> None:
    """Make an entry's version the champion: before or after, and never without one."""
    written = _write(client, endpoint, replace(entry, at=now(), by=user()))
    client.set_registered_model_alias(endpoint, CHAMPION, entry.version)
    _finish(client, endpoint, written)


def settle(client: MlflowClient, endpoint: str) -> list[Entry]:
    """Bring to its end, or take back, what a killed process left; note what was changed by other means.

    Returns:
        The history, of which every entry is done and the last is the champion's.
    """
    champion = by_alias(client, endpoint, CHAMPION)
    version = None if champion is None else str(champion.version)
    history = entries(client, endpoint)
    for number, entry in enumerate(history):
        if entry.done:
            continue
        if number == len(history) - 1 and entry.version == version:
            _finish(client, endpoint, entry)
        else:
            client.delete_registered_model_tag(endpoint, entry.key)
    history = entries(client, endpoint)
    if champion is not None and (not history or history[-1].version != version):
        before = history[-1].version if history else _version(by_alias(client, endpoint, PREVIOUS))
        outside = Entry(str(version), before, "set outside", run_id=str(champion.run_id), at=now(), by="unknown")
        _finish(client, endpoint, _write(client, endpoint, outside))
    return entries(client, endpoint)


def by_alias(client: MlflowClient, endpoint: str, alias: str) -> ModelVersion | None:
    """The version with an alias."""
    return _if_known(lambda: client.get_model_version_by_alias(endpoint, alias))


def by_number(client: MlflowClient, endpoint: str, version: str) -> ModelVersion | None:
    """The version with a number; None where it was deleted."""
    return _if_known(lambda: client.get_model_version(endpoint, version))


def _if_known(look: Callable[[], Found]) -> Found | None:
    """What the store knows, None where it knows no such thing; a store that fails to answer is an error."""
    try:
        return look()
    except MlflowException as error:
        if error.error_code not in UNKNOWN:
            raise
        return None


def _version(version: ModelVersion | None) -> str | None:
    return None if version is None else str(version.version)


def _write(client: MlflowClient, endpoint: str, entry: Entry) -> Entry:
    """A new entry, later than all there are."""
    known = entries(client, endpoint)
    last = int(known[-1].key.removeprefix(PREFIX).partition("-")[0]) if known else 0
    entry = replace(entry, key=f"{PREFIX}{max(time.time_ns(), last + 1):020d}-{uuid4().hex[:8]}")
    client.set_registered_model_tag(endpoint, entry.key, _text(entry))
    return entry


def _text(entry: Entry) -> str:
    content: dict[str, Any] = asdict(entry)
    del content["key"]
    return json.dumps(content)


def _finish(client: MlflowClient, endpoint: str, entry: Entry) -> None:
    """What follows from the champion's having changed; may be done twice."""
    stack = standing(entries(client, endpoint))
    if len(stack) > 1:
        client.set_registered_model_alias(endpoint, PREVIOUS, stack[-2])
    else:
        _drop_alias(client, endpoint, PREVIOUS)
    challenger = by_alias(client, endpoint, CHALLENGER)
    if challenger is not None and str(challenger.version) == entry.version:
        _drop_alias(client, endpoint, CHALLENGER)
    _tag(client, endpoint, entry.version, promoted_at=entry.at, promoted_by=entry.by, replaced=entry.replaced or "none")
    if entry.replaced is not None:
        _tag(client, endpoint, entry.replaced, demoted_at=entry.at, demoted_by=entry.by)
    client.set_registered_model_tag(endpoint, entry.key, _text(replace(entry, done=True)))


def _drop_alias(client: MlflowClient, endpoint: str, alias: str) -> None:
    if by_alias(client, endpoint, alias) is not None:
        client.delete_registered_model_alias(endpoint, alias)


def _tag(client: MlflowClient, endpoint: str, version: str, **tags: str) -> None:
    """Tags of a version, unless it was deleted since."""
    if by_number(client, endpoint, version) is None:
        return
    for name, value in tags.items():
        client.set_model_version_tag(endpoint, version, f"sequela.{name}", value)
