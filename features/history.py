"""What has happened to a patient up to a landmark day, as columns: counts, recency and grade of prior events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.errors import SequelaError
from features.patients import Events, FloatArray, IntArray


def history_columns(
    landmark_day: FloatArray, events: Events, names: Sequence[str], window_days: Sequence[float] = (30.0,)
) -> dict[str, FloatArray]:
    """Summaries of each kind of event with day ≤ the row's landmark day; nothing later enters.

    ``any``: 1 where it has happened, else 0; ``count``: how often; ``count_30d``: how often in the 30 days that end
    with the landmark day, so that landmark − 30 < day ≤ landmark; ``since``: days since the latest one, NaN where there
    is none; ``grade``: the highest grade so far, 0 where there is none, NaN where there are only ungraded ones.

    An event that was not recorded counts as one that has not happened: whoever has no record of a kind of event has 0,
    not a missing value, also where `events` does not know its name. Events before infusion (day < 0) count.

    Args:
        landmark_day: (rows,), days since infusion.
        events: Of the same rows, in any order within a row.
        names: Kinds of events, e.g. ``infection``.
        window_days: Lengths of the windows of the recent counts.

    Returns:
        Columns of shape (rows,) by name, e.g. ``infection:count_30d``, event by event.

    Raises:
        SequelaError: A window is not a positive number of days.
    """
    for window in window_days:
        if not 0 < window < np.inf:
            msg = f"events are counted over a positive number of days, which {window:g} is not"
            raise SequelaError(msg)
    names = list(dict.fromkeys(names))
    of, at = _known(landmark_day, events, names)
    size = len(names) * len(landmark_day)
    day, landmark = events.day[at], np.tile(landmark_day, len(names))
    number = np.bincount(of, minlength=size)
    tables: dict[str, FloatArray] = {"any": (number > 0).astype(float), "count": number.astype(float)}
    for window in window_days:
        recent = of[day > landmark[of] - window]
        label = np.format_float_positional(window, trim="-")
        tables[f"count_{label}d"] = np.bincount(recent, minlength=size).astype(float)
    tables["since"] = landmark - _largest(size, of, day) + 0.0  # + 0.0: no negative zero
    tables["grade"] = np.where(number > 0, _largest(size, of, events.grade[at]), 0.0)
    by_name = {what: table.reshape(len(names), len(landmark_day)) for what, table in tables.items()}
    return {f"{name}:{what}": table[i] for i, name in enumerate(names) for what, table in by_name.items()}


def _known(landmark_day: FloatArray, events: Events, names: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Positions of the events up to the landmark day, and for each its cell of a (names, rows) table."""
    place = np.array([names.index(name) if name in names else -1 for name in (*events.names, None)], dtype=np.int64)
    row, name = events.row, place[events.event]
    at = np.flatnonzero((name >= 0) & np.isfinite(events.day) & (events.day <= landmark_day[row]))
    return name[at] * len(landmark_day) + row[at], at


def _largest(size: int, of: IntArray, values: FloatArray) -> FloatArray:
    """(size,): the largest of the values of each cell; NaN where all are."""
    found = np.full(size, np.nan)
    np.fmax.at(found, of, values)
    return found
