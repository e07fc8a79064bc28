"""Calendar stretches by which a model in use is judged."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

Length = Literal["day", "week", "month", "quarter"]


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
