"""Calendar stretches by which a model in use is judged."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

Length = Literal["day", "week", "month", "quarter"]
LONGEST_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92}


def first_day(day: date, length: Length) -> date:
    """The first day of the stretch that a day lies in; weeks begin on Monday."""
    match length:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)


def n_looks(first: date, length: Length, today: date) -> int:
    """How often whoever looks every day sees a stretch before it is over; 1 once it is.

    Tests of a stretch that grows are made so often: p-values times this keep the chance of a false alert before it is
    over at the level, and that of one before or after at twice the level.
    """
    return LONGEST_DAYS[length] if first_day(today, length) <= first else 1
