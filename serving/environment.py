"""Numbers, addresses and time zones that the environment gives."""

from __future__ import annotations

import math
import os
import re
from datetime import UTC, tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from features.errors import SequelaError

Default = TypeVar("Default", int, None)
MOST_DAYS = 36500
"""For which files are kept: a century; longer is for ever."""


def number(name: str, default: Default, *, most: float = math.inf) -> float | Default:
    """A variable of the environment that is a number above 0.

    Raises:
        SequelaError: It is none, or above `most`.
    """
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= most or math.isinf(value):
        rule = "is no number above 0" + (f" and up to {most:g}" if math.isfinite(most) else "")
        msg = f"{name}: {text[:40]!r} {rule}; give one, or leave it out"
        raise SequelaError(msg)
    return value


def whole(name: str, default: Default, *, most: float = math.inf) -> int | Default:
    """A variable of the environment that is a whole number of at least 1.

    Raises:
        SequelaError: It is none, or above `most`.
    """
    value = number(name, default, most=most)
    if not isinstance(value, float):
        return value
    if not value.is_integer():
        msg = f"{name}: {os.environ[name][:40]!r} is no whole number; give one, or leave it out"
        raise SequelaError(msg)
    return int(value)


def address(name: str, *, required_by: str | None = None) -> str | None:
    """A variable of the environment that is an address of the web; None where it is not set.

    Args:
        name: Of the variable.
        required_by: Another variable, which is set and needs this one.

    Raises:
        SequelaError: It is none, or is absent and needed.
    """
    text = os.environ.get(name, "")
    return address_in(name, text, required_by=required_by) if text or required_by else None


def address_in(name: str, text: str, *, required_by: str | None = None) -> str:
    """An address of the web, without a slash at its end.

    Raises:
        SequelaError: It is none; names what it was given for.
    """
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        why = f"is needed with {required_by}: " if required_by and not text else ""
        msg = f"{name}: {why}{text[:40]!r} is no address such as https://sequela.example"
        raise SequelaError(msg)
    return text.rstrip("/")


def time_zone(name: str) -> tzinfo:
    """A variable of the environment that names a time zone of IANA; UTC where it is not set.

    Raises:
        SequelaError: There is none of that name.
    """
    text = os.environ.get(name)
    return time_zone_in(name, text) if text else UTC


def time_zone_in(name: str, text: str) -> tzinfo:
    """A time zone by its name of IANA.

    Raises:
        SequelaError: There is none; names what it was given for.
    """
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # no such file, no name of one, or a folder
        msg = f"{name}: {text[:40]!r} is no time zone of IANA as Europe/Berlin, or this machine lacks tzdata"
        raise SequelaError(msg) from error
