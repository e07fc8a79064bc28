"""Events that come back, such as infections: all of them, until follow-up or a terminal event ends the counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recurrences:
    """Times of a recurrent event in rows of patients, counted from each row's landmark."""

    end_days: NDArray[np.float64]
    """(rows,): days to the terminal event, or to the end of follow-up; positive."""
    terminal: NDArray[np.int64]
    """(rows,): 0 = censored, 1, 2, … = the terminal event that ended the counting."""
    row: NDArray[np.int64]
    """(events,): the row of each event."""
    day: NDArray[np.float64]
    """(events,): days from the landmark, above 0 and at most the row's end."""
    name: str
    """Of the recurrent event."""
    terminals: tuple[str, ...]
    """Names of terminal events 1, 2, …"""

    def __len__(self) -> int:
        return len(self.end_days)

    def count_by(self, times_days: NDArray[np.float64]) -> NDArray[np.int64]:
        """(rows, times): events that each row had by each time."""
        counts = np.zeros((len(self), len(times_days) + 1), dtype=np.int64)
        np.add.at(counts, (self.row, np.searchsorted(times_days, self.day, side="left")), 1)
        return np.cumsum(counts[:, :-1], axis=1)

    def take(self, rows: NDArray[np.int64]) -> Recurrences:
        """The given rows, in that order; rows may repeat."""
        order = np.argsort(self.row, kind="stable")
        starts = np.searchsorted(self.row[order], np.arange(len(self) + 1))
        lengths = np.diff(starts)[rows]
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        within = np.arange(lengths.sum()) - np.repeat(first, lengths)
        picked = order[np.repeat(starts[rows], lengths) + within]
        row = np.repeat(np.arange(len(rows)), lengths)
        return Recurrences(self.end_days[rows], self.terminal[rows], row, self.day[picked], self.name, self.terminals)

    def known_by(self, days: NDArray[np.float64]) -> Recurrences:
        """What was known so many days (rows,), above 0, after each row's landmark: what came later is censored."""
        early = self.day <= days[self.row]
        terminal = np.where(self.end_days <= days, self.terminal, 0)
        end = np.minimum(self.end_days, days)
        return replace(self, end_days=end, terminal=terminal, row=self.row[early], day=self.day[early])

    @staticmethod
    def concatenate(parts: Sequence[Recurrences]) -> Recurrences:
        """The rows of several, one after the other; of the same events."""
        starts = np.cumsum([0, *map(len, parts[:-1])])
        end, terminal, day = (np.concatenate([getattr(one, name) for one in parts]) for name in _OF_ROWS)
        row = np.concatenate([one.row + start for one, start in zip(parts, starts, strict=True)])
        return replace(parts[0], end_days=end, terminal=terminal, row=row, day=day)


_OF_ROWS = ("end_days", "terminal", "day")
