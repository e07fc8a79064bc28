"""When the treatment started, and the values below which a strategy asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.cohort import Cohort
from features.errors import SequelaError, nearest_or_all
from features.patients import FloatArray
from features.schema import Endpoint


@dataclass(frozen=True, slots=True)
class Low:
    """A value below which treatment is asked for."""

    variable: str
    limit: float

    @property
    def name(self) -> str:
        """As a column and in the name of a strategy."""
        return f"{self.variable} < {self.limit:g}"


def lows_of(texts: Iterable[str]) -> tuple[Low, ...]:
    """Read ``variable=value`` of ``--below``.

    Raises:
        SequelaError: One says something else, or two say the same.
    """
    found: list[Low] = []
    for text in texts:
        name, _, value = (word.strip() for word in text.partition("="))
        try:
            limit = float(value)
        except ValueError:
            limit = np.nan
        if not name or not np.isfinite(limit):
            msg = (
                f"--below {text}: is not variable=value; name a measured variable and a number in its unit, as igg=400"
            )
            raise SequelaError(msg)
        if Low(name, limit) in found:
            msg = f"--below {text}: is named twice; name it once"
            raise SequelaError(msg)
        found.append(Low(name, limit))
    return tuple(found)


def starts_of(cohort: Cohort, treatment: str, endpoint: Endpoint) -> FloatArray:
    """(patients,): the day since infusion on which each was first treated; infinite where no start is recorded.

    The treatment is an event, first recorded on that day, or a measured variable of 0 and 1, first 1 on it.

    Raises:
        SequelaError: Neither has this name, it is an event of the endpoint, or its values are others.
    """
    ids = pd.Index(cohort.patients["patient_id"])
    if treatment in {rule.name for rule in (endpoint.event, *endpoint.competing)}:
        msg = f"--treatment {treatment}: is an event of the endpoint {endpoint.name}; name what is given to prevent it"
        raise SequelaError(msg)
    events, measured = cohort.events, cohort.measurements
    if treatment in set(events["event"]):
        rows = events[events["event"] == treatment]
    elif treatment in set(measured["variable"]):
        own = measured[measured["variable"] == treatment]
        if not own["value"].isin([0, 1]).all():
            msg = (
                f"--treatment {treatment}: is measured, and has other values than 0 (not treated) and 1 (treated); "
                "name an event, or a variable of 0 and 1"
            )
            raise SequelaError(msg)
        rows = own[own["value"] == 1]
    else:
        known = sorted({*events["event"], *measured["variable"]})
        remedy = nearest_or_all(treatment, known)
        msg = f"--treatment {treatment}: no event or measured variable of {cohort.folder} has this name; {remedy}"
        raise SequelaError(msg)
    first: FloatArray = rows.groupby("patient_id")["day"].min().reindex(ids).to_numpy(dtype=float)
    return np.where(np.isnan(first), np.inf, first)
