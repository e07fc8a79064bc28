"""What a day in a state is worth, from 0 to 1: a judgement of the user's, and no measurement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.errors import SequelaError, nearest_or_all
from features.patients import FloatArray

WORTH_FREE, WORTH_COMPLICATION = 1.0, 0.5
"""Of a day, unless the user says otherwise; of days in later states 0."""


def worth_of(text: str) -> dict[str, float]:
    """Read ``state=value,…``.

    Raises:
        SequelaError: It says something else.
    """
    found: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = np.nan
        if not name or not 0 <= number <= 1:
            msg = (
                f"--weights {part}: a weight is state=value, the value from 0 (as bad as death) to 1 (as good as well)"
            )
            raise SequelaError(msg)
        if name in found:
            msg = f"--weights {text}: {name} is named twice; give it one value"
            raise SequelaError(msg)
        found[name] = number
    if not found:
        msg = f"--weights {text}: names no state; give state=value, or leave the option out"
        raise SequelaError(msg)
    return found


def worth_by_state(states: Sequence[str], given: dict[str, float]) -> FloatArray:
    """(states,): of a day in each; 1 and 0.5 in the first two, unless given, and 0 in later ones.

    Args:
        states: Names: before anything, with the complication, and those in which days are no benefit.
        given: By name.

    Raises:
        SequelaError: There is no state of a name.
    """
    for name in given:
        if name not in states:
            remedy = nearest_or_all(name, states)
            msg = f"--weights {name}: no state has this name; {remedy}"
            raise SequelaError(msg)
    usual = {states[0]: WORTH_FREE, states[1]: WORTH_COMPLICATION}
    return np.array([given.get(name, usual.get(name, 0.0)) for name in states])
