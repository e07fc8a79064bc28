"""Numbers that the environment gives."""

from __future__ import annotations

import math
import os
from typing import TypeVar

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
