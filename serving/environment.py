"""Numbers that the environment gives."""

from __future__ import annotations

import math
import os
from typing import overload

from features.errors import SequelaError


@overload
def number(name: str, default: float, *, most: float = ...) -> float: ...
@overload
def number(name: str, default: None, *, most: float = ...) -> float | None: ...
def number(name: str, default: float | None, *, most: float = math.inf) -> float | None:
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
    if not 0 < value <= most:
        rule = "is no number above 0" + (f" and up to {most:g}" if math.isfinite(most) else "")
        msg = f"{name}: {text[:40]!r} {rule}; give one, or leave it out"
        raise SequelaError(msg)
    return value


def whole(name: str, default: int | None, *, most: int) -> int | None:
    """A variable of the environment that is a whole number of at least 1.

    Raises:
        SequelaError: It is none, or above `most`.
    """
    value = number(name, default, most=most)
    if value is None or value == int(value):
        return None if value is None else int(value)
    msg = f"{name}: {os.environ[name][:40]!r} is no whole number; give one, or leave it out"
    raise SequelaError(msg)
