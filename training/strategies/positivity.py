"""In whom, and when, nobody starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.strategies.followed import FloatArray
from training.strategies.pooled_days import PooledDays

THIRDS = ("least", "middle", "most")
"""Of the patient-days of a period, by how probable a start is on them."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Patient-days of a period on which a start was about equally probable."""

    first_day: int
    last_day: int
    likely: str
    """One of `THIRDS`."""
    n_patients: int
    n_patient_days: int
    n_starts: int
    expected: float
    """Number of starts by the model."""


def stretches(days: PooledDays, probability: FloatArray, ends: Sequence[int]) -> Iterator[Stretch]:
    """Starts that were seen and that the model expects, by period and third of its probability.

    Where none was seen, nobody stands for those who ought to have started (positivity); where seen and expected differ,
    the model does not describe who starts.

    Args:
        days: On which patients could have started.
        probability: (rows,): of starting on a day.
        ends: First days after the periods, ascending.
    """
    patient, day = np.nonzero(days.at_risk)
    row = days.row_of[patient, day]
    first_of_row = np.concatenate([[True], row[1:] != row[:-1]])
    # A start ends the decisions of a patient: it is on the last day of its row.
    started = np.zeros(len(row))
    last_of_row = np.concatenate([first_of_row[1:], [True]])
    started[last_of_row] = days.n_happened[row[last_of_row]]
    begin = 0
    for end in ends:
        within = np.flatnonzero((day >= begin) & (day < end))
        if len(within):
            p = probability[row[within]]
            third = np.searchsorted(np.quantile(p, [1 / 3, 2 / 3]), p, side="left")
            for k, name in enumerate(THIRDS):
                own = within[third == k]
                if len(own):
                    n_patients = len(np.unique(patient[own]))
                    yield Stretch(
                        begin, end - 1, name, n_patients, len(own), int(started[own].sum()), float(p[third == k].sum())
                    )
        begin = end
