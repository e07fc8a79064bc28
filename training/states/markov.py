"""Whether the way into a state matters for the way out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.outcomes import Outcomes
from features.states import StateHistories
from training.effects.estimates import ABSENT, Estimate
from training.effects.hazards import log_ratios

PER_DAYS = 30.0
"""Of later entry, to which a hazard ratio belongs."""
FEWEST_MOVES = 10
"""With fewer of a kind nothing is said of it."""


@dataclass(frozen=True, slots=True)
class MarkovTest:
    """Of the moves from one state, entered after the landmark, to another."""

    origin: int
    target: int
    n_moves: int
    later_entry: Estimate
    """Hazard ratio for each `PER_DAYS` by which the state was entered later; absent with too few moves."""


def markov_tests(histories: StateHistories) -> tuple[MarkovTest, ...]:
    """Tests that the hazard of leaving a state depends on the present day alone, not on when the state was entered.

    A Cox model of each move with the day of entry into the state as covariate, patients being at risk from that day on
    (Andersen & Keiding, Stat Methods Med Res 2002;11:91–115; Putter, Fiocco & Geskus, Stat Med 2007;26:2389); Wald's
    test, Efron's ties. A p-value that is not small does not show that the process is Markov.
    """
    found = []
    moves = histories.moves()
    for origin, target in np.argwhere(moves > 0):
        rows = np.flatnonzero(histories.state == origin)
        if not origin:
            continue  # everyone is in the first state from the landmark on
        n_moves = int(moves[origin, target])
        later = ABSENT
        if n_moves >= FEWEST_MOVES:
            entered = histories.entered_days[rows, None] / PER_DAYS
            (later,) = log_ratios(entered, stays_of(histories, int(origin), int(target)), 1, [np.arange(len(rows))])
        found.append(MarkovTest(int(origin), int(target), n_moves, later))
    return tuple(found)


def stays_of(histories: StateHistories, origin: int, target: int) -> Outcomes:
    """Stays in one state as outcomes, at risk from their start: cause 1 where the next state is the target."""
    rows = np.flatnonzero(histories.state == origin)
    start = histories.start_days[rows]
    return Outcomes(
        histories.stop_days[rows],
        (histories.next_state[rows] == target).astype(np.int64),
        (histories.states[target],),
        start if start.any() else None,
    )
