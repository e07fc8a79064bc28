"""What happened: durations and causes, from a landmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Competing-risks outcomes of rows of patients, counted from each row's landmark."""

    duration_days: NDArray[np.float64]
    """(rows,): days from the landmark to the first cause, or to the end of follow-up; positive."""
    cause: NDArray[np.int64]
    """(rows,): 0 = censored, 1 = the event of interest, 2, … = competing causes."""
    causes: tuple[str, ...]
    """Names of causes 1, 2, …"""
    entry_days: NDArray[np.float64] | None = None
    """(rows,): days from the landmark at which observation began (left truncation); None: all observed from 0."""
    after_days: NDArray[np.float64] | None = None
    """(rows,): days from the landmark after which the event happened: somewhere in (after_days, duration_days]. At
    least 0 and `entry_days`, below `duration_days`; NaN of rows censored or known to the day; None: all rows are."""

    def __len__(self) -> int:
        return len(self.duration_days)

    @property
    def entered(self) -> NDArray[np.float64]:
        """(rows,): `entry_days`, 0 for all rows where there are none."""
        return np.zeros(len(self)) if self.entry_days is None else self.entry_days

    @property
    def from_landmark(self) -> NDArray[np.bool_]:
        """(rows,): whether a row was under observation from its landmark on."""
        return np.ones(len(self), dtype=bool) if self.entry_days is None else self.entry_days <= 0

    @property
    def in_interval(self) -> NDArray[np.bool_]:
        """(rows,): whether a row's event is only known to lie between two days."""
        return np.zeros(len(self), dtype=bool) if self.after_days is None else ~np.isnan(self.after_days)

    def in_the_middle(self) -> Outcomes:
        """The same with events between two days in the middle of them, as if known to the day."""
        if self.after_days is None:
            return self
        middle = np.where(self.in_interval, (self.duration_days + self.after_days) / 2, self.duration_days)
        return Outcomes(middle, self.cause, self.causes, self.entry_days)

    def take(self, rows: NDArray[np.int64]) -> Outcomes:
        """The given rows, in that order."""
        entry, after = (None if days is None else days[rows] for days in (self.entry_days, self.after_days))
        return Outcomes(self.duration_days[rows], self.cause[rows], self.causes, entry, after)

    @staticmethod
    def concatenate(parts: Sequence[Outcomes]) -> Outcomes:
        """Rows one after the other, of parts with the same causes."""
        entry = np.concatenate([part.entered for part in parts])
        after = np.concatenate([np.full(len(p), np.nan) if p.after_days is None else p.after_days for p in parts])
        return Outcomes(
            np.concatenate([part.duration_days for part in parts]),
            np.concatenate([part.cause for part in parts]),
            parts[0].causes,
            entry if entry.any() else None,
            None if np.isnan(after).all() else after,
        )

    def counts(self) -> dict[str, int]:
        """Number of rows by cause, ``censored`` first."""
        n = np.bincount(self.cause, minlength=len(self.causes) + 1)
        return dict(zip(("censored", *self.causes), map(int, n), strict=True))
