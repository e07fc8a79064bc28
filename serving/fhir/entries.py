"""What a Bundle holds, as it came: which of its entries are resources to read, and where they stood."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.errors import InputError
from serving.fhir.resources import ID

LONGEST_URL = 2_000
_ADDRESS = re.compile(r"(?:https?://|urn:)[A-Za-z0-9\-._~:/?@!$&'+,;=%|]+", re.ASCII)
"""Addresses as Bundles have them. None holds markup: what names a resource is shown."""
_TYPES = (
    *("collection", "searchset", "document", "message"),
    *("transaction", "batch", "transaction-response", "batch-response"),
)
"""Bundles whose resources are as they are now, or are to be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource as it came."""

    content: Any
    """Any JSON; None where an entry holds no resource."""
    place: str
    """As faults name it."""
    full_url: str = ""
    """Where it says that it lies, if it is an address."""
    base: str = ""
    """Address of the server that it comes from, as far as the Bundle says it."""
    unread: str = ""
    """Why it is not read; empty: it is."""

    @property
    def kind(self) -> str:
        """Type of the resource; empty where there is none."""
        kind = self.content.get("resourceType") if isinstance(self.content, dict) else None
        return kind if isinstance(kind, str) else ""

    @property
    def id(self) -> str:
        """Of the resource; empty where it has none."""
        own = self.content.get("id") if isinstance(self.content, dict) else None
        return own if isinstance(own, str) and re.fullmatch(ID, own) else ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A resource, read, and where it is."""

    resource: Any
    place: str
    reference: str
    """By which answers name it; empty where it has neither an id nor an address."""
    full_url: str
    base: str = ""
    """As of `Entry`."""

    @property
    def name(self) -> str:
        """By which people find it: its type and id, or else its place."""
        return self.reference if self.resource.id else self.place


def entries_of(bundle: Any, place: str = "Bundle") -> list[Entry]:  # noqa: ANN401  (any JSON)
    """What a Bundle holds.

    Raises:
        InputError: It is none, one page of several, one of past versions, or changed in its meaning.
    """
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise InputError(f"{place}.resourceType", "must be Bundle")
    found, links = bundle.get("entry", []), bundle.get("link")
    if not isinstance(found, list):
        raise InputError(f"{place}.entry", "must be a list")
    if bundle.get("type") not in (None, *_TYPES):
        rule = "of resources as they are now, and not of their history" if bundle["type"] == "history" else ""
        raise InputError(f"{place}.type", f"must be {', '.join(_TYPES)}{rule and f': {rule}'}")
    require_plain(bundle, place)
    links = [one for one in links if isinstance(one, dict)] if isinstance(links, list) else []
    if any(one.get("relation") == "next" for one in links):
        raise InputError(f"{place}.link", "must name no next page: the Bundle has to be whole")
    base = next((base_of(one.get("url")) for one in links if one.get("relation") == "self"), "")
    return [_entry(one, f"{place}.entry[{i}].resource", base) for i, one in enumerate(found)]


def _entry(entry: Any, place: str, base: str) -> Entry:  # noqa: ANN401  (any JSON)
    if not isinstance(entry, dict):
        raise InputError(place, "must be a resource")
    url = address(entry.get("fullUrl"))
    return Entry(entry.get("resource"), place, url, base_of(url) or base, _unread(entry))


def _unread(entry: Mapping[str, Any]) -> str:
    if entry.get("modifierExtension"):
        return MODIFIED
    request = entry.get("request")
    return "to be deleted" if isinstance(request, dict) and request.get("method") == "DELETE" else ""


MODIFIED = "whose meaning is changed in a way that is not known here"
"""By ``modifierExtension`` or ``implicitRules``, which FHIR forbids to pass over (R4, Extensibility)."""


def is_modified(content: Mapping[str, Any]) -> bool:
    """Whether elements say that a resource does not mean what it says."""
    return bool(content.get("modifierExtension") or content.get("implicitRules"))


def require_plain(content: Mapping[str, Any], place: str) -> None:
    """Refuse what is changed in its meaning.

    Raises:
        InputError: It is.
    """
    for name in ("implicitRules", "modifierExtension"):
        if content.get(name):
            raise InputError(f"{place}.{name}", "must be absent: what it changes is not known here")


def address(given: object) -> str:
    """An address by its form; empty: it is none."""
    return given if isinstance(given, str) and len(given) <= LONGEST_URL and _ADDRESS.fullmatch(given) else ""


def base_of(given: object) -> str:
    """The server's address in that of a resource or of a search; empty: it says none."""
    found = re.fullmatch(r"(https?://.+?)/[A-Z][A-Za-z]+(?:/[A-Za-z0-9\-.]{1,64})?(?:/_history/[^/]+)?", plain(given))
    return found[1] if found else ""


def plain(given: object) -> str:
    """An address without what is searched for there."""
    return address(given).partition("?")[0]
