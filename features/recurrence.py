"""Events that come back, such as infections: all of them, until follow-up or a terminal event ends the counting."""

from __future__ import annotations

from dataclasses import dataclass

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
