"""Which day it is where the service is used: days of a record are compared with it.

SEQUELA_TIME_ZONE         whose clock says when a day begins, as Europe/Berlin; default UTC
"""

from __future__ import annotations

from datetime import date, datetime

from serving.environment import time_zone

ZONE = time_zone("SEQUELA_TIME_ZONE")


def today() -> date:
    """The day that it is there."""
    return datetime.now(ZONE).date()
