"""Patients of an emulated trial, day by day from time zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Followed:
    """Days 0, 1, … of patients who were untreated before time zero.

    On day d, who is still observed and free of events may start treatment; what happens in (d, d + 1] happens after
    that. So a start on the day of an event, or on the last day of observation, counts as not seen.
    """

    end_day: IntArray
    """(patients,): whole days to the event or to the end of observation, at least 1."""
    cause: IntArray
    """(patients,): 0 = censored, 1 = the event of interest, 2, … = competing causes."""
    causes: tuple[str, ...]
    start_day: IntArray
    """(patients,): the day on which treatment started; `n_days` where no start was seen before that day."""
    n_days: int
    """Days 0 to n_days − 1 are looked at."""

    @classmethod
    def of(cls, outcomes: Outcomes, start_days: FloatArray, n_days: int) -> Followed:
        """From outcomes without late entry.

        Args:
            outcomes: From time zero; a part of a day counts as a day.
            start_days: (patients,): from time zero to the start of treatment, at least 0; infinite where there is none.
            n_days: To how many days all is counted.

        Raises:
            ValueError: Somebody enters late, or was treated before time zero.
        """
        if outcomes.entry_days is not None or (start_days < 0).any():
            msg = "patients of an emulated trial are observed from time zero, and untreated before it"
            raise ValueError(msg)
        end = np.ceil(outcomes.duration_days).astype(np.int64)
        start = np.floor(np.minimum(start_days, n_days)).astype(np.int64)
        return cls(end, outcomes.cause, outcomes.causes, np.where(start < end, start, n_days), n_days)

    def __len__(self) -> int:
        return len(self.end_day)

    @property
    def days(self) -> IntArray:
        """(days,): 0 to n_days − 1."""
        return np.arange(self.n_days)

    @property
    def observed(self) -> BoolArray:
        """(patients, days): whether somebody is observed and free of events on a day."""
        found: BoolArray = self.days < self.end_day[:, None]
        return found

    @property
    def deciding(self) -> BoolArray:
        """(patients, days): whether somebody may start on a day: observed, and not started before it."""
        found: BoolArray = self.observed & (self.days <= self.start_day[:, None])
        return found

    @property
    def starts(self) -> BoolArray:
        """(patients, days): whether somebody starts on a day."""
        found: BoolArray = self.days == self.start_day[:, None]
        return found
