"""Which state each patient was in, from when to when: a multi-state process as it was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EVENT_FREE = "event-free"
"""The state of the landmark."""
STAYS = -1
"""In place of a next state: observation ends in the present one."""


@dataclass(frozen=True, slots=True)
class StateHistories:
    """Stays of patients in states, one row a stay, counted from the landmark.

    Everyone is in the first state at the landmark; who enters observation later may be in another one by then. Rows of
    a patient stand together, in the order of time; there is none in a state that nobody leaves.
    """

    patient: NDArray[np.int64]
    """(rows,): position of the patient, 0 to `n_patients` − 1, ascending."""
    state: NDArray[np.int64]
    """(rows,)"""
    start_days: NDArray[np.float64]
    """(rows,): days from the landmark after which the patient is observed in the state."""
    stop_days: NDArray[np.float64]
    """(rows,): days from the landmark on which the stay, or observation, ends; above `start_days`."""
    next_state: NDArray[np.int64]
    """(rows,): the state entered on that day, or `STAYS`."""
    entered_days: NDArray[np.float64]
    """(rows,): days from the landmark on which the state was entered; before `start_days` if observed late."""
    states: tuple[str, ...]
    """Names, the one of the landmark first."""
    n_patients: int

    def __post_init__(self) -> None:
        columns = (self.state, self.start_days, self.stop_days, self.next_state, self.entered_days)
        if any(len(column) != len(self.patient) for column in columns):
            msg = "stays: every column has one value a stay"
            raise ValueError(msg)
        same = self.patient[1:] == self.patient[:-1]
        ordered = (self.patient[1:] >= self.patient[:-1]).all() and (
            ~same | (self.start_days[1:] >= self.stop_days[:-1])
        )
        if not np.all(ordered) or (self.start_days >= self.stop_days).any() or (self.next_state == self.state).any():
            msg = (
                "stays: each ends after it starts, those of a patient in order, without overlap, each in another state"
            )
            raise ValueError(msg)

    def __len__(self) -> int:
        return self.n_patients

    def take(self, patients: NDArray[np.int64]) -> StateHistories:
        """The given patients, in that order; one that is named twice is two patients."""
        first = np.searchsorted(self.patient, patients, side="left")
        n_rows = np.searchsorted(self.patient, patients, side="right") - first
        offset = np.arange(n_rows.sum()) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
        rows = np.repeat(first, n_rows) + offset
        return StateHistories(
            np.repeat(np.arange(len(patients)), n_rows),
            self.state[rows],
            self.start_days[rows],
            self.stop_days[rows],
            self.next_state[rows],
            self.entered_days[rows],
            self.states,
            len(patients),
        )

    @property
    def followed_days(self) -> float:
        """The last day by which states of these patients are known; infinite if the last of them all ended in one."""
        last = float(self.stop_days.max())
        ends = self.stop_days == last
        onward = np.isin(self.next_state[ends], self.state)
        return np.inf if (self.next_state[ends] >= 0).all() and not onward.any() else last

    def moves(self) -> NDArray[np.int64]:
        """(states, states): how often patients went from one to another."""
        n = len(self.states)
        found = np.zeros((n, n), dtype=np.int64)
        goes = self.next_state >= 0
        np.add.at(found, (self.state[goes], self.next_state[goes]), 1)
        return found

    def ever(self) -> NDArray[np.bool_]:
        """(patients, states): whether a patient was seen in a state."""
        found = np.zeros((self.n_patients, len(self.states)), dtype=bool)
        found[self.patient, self.state] = True
        goes = self.next_state >= 0
        found[self.patient[goes], self.next_state[goes]] = True
        return found
