"""Several versions or copies of one resource: the last counts, so that one entered in error takes back what it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from features.errors import InputError
from serving.fhir.entries import Entry
from serving.fhir.gathered import Gathered
from serving.fhir.times import moment_of

EARLIER = "copies or earlier versions"


def current(found: Sequence[Entry], kinds: Collection[str], gathered: Gathered, *, lenient: bool) -> list[Entry]:
    """Each resource once, in its last version, by ``lastUpdated`` or else ``versionId``.

    Args:
        found: In any order.
        kinds: That are read; others are handed on as they are.
        gathered: Is told of what is left out.
        lenient: Leave out resources of which no version is known to be the last; else they are refused.

    Raises:
        InputError: Versions of a resource differ, and say not which is the last.
    """
    named: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for i, entry in enumerate(found):
        name = (entry.id or entry.full_url) if entry.kind in kinds else ""
        named[entry.kind, name or f"#{i}"].append(entry)
    kept: set[str] = set()
    for of_name in named.values():
        for versions in _of_one_server(of_name):
            last = _last(versions)
            gathered.left(EARLIER, len(versions) - 1)
            if last is not None:
                kept.add(last.place)
            elif lenient:
                gathered.unreadable(f"{versions[-1].place}, of which there are several versions")
            else:
                rule = "must be told by meta.lastUpdated or meta.versionId: the resource has several versions"
                raise InputError(f"{versions[-1].place}.meta", rule)
    return [entry for entry in found if entry.place in kept]


def _of_one_server(found: Sequence[Entry]) -> list[list[Entry]]:
    """Resources of one id; of different addresses they are different ones, where each has an address."""
    if len(found) == 1 or any(not one.full_url for one in found):
        return [list(found)]
    by_url: dict[str, list[Entry]] = defaultdict(list)
    for one in found:
        by_url[one.full_url.partition("/_history/")[0]].append(one)
    return list(by_url.values())


def _last(versions: Sequence[Entry]) -> Entry | None:
    """None: it cannot be told."""
    if all(one.content == versions[0].content for one in versions):
        return versions[0]
    for order in (_updated, _number):
        known = [order(one) for one in versions]
        if any(one is None for one in known):
            continue
        best = max(one for one in known if one is not None)
        last = [one for one, key in zip(versions, known, strict=True) if key == best]
        if all(one.content == last[0].content for one in last):
            return last[0]
    return None


def _meta(entry: Entry, name: str) -> Any:  # noqa: ANN401  (any JSON)
    meta = entry.content.get("meta") if isinstance(entry.content, dict) else None
    return meta.get(name) if isinstance(meta, dict) else None


def _updated(entry: Entry) -> datetime | None:
    said = _meta(entry, "lastUpdated")
    try:
        found = moment_of(said, "") if isinstance(said, str) else None
    except InputError:
        return None
    return found.instant if found is not None and found.timed else None


def _number(entry: Entry) -> int | None:
    said = _meta(entry, "versionId")
    return int(said) if isinstance(said, str) and len(said) <= 18 and said.isascii() and said.isdigit() else None
