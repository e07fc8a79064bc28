"""Companions: other endpoints of the same cohort, from which a network learns beside its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from features.outcomes import Outcomes
from features.patients import IntArray, Patients

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Companion:
    """Who was at risk of another endpoint, and what came of it."""

    patients: Patients
    """One row for each patient and landmark of the other endpoint."""
    outcomes: Outcomes

    def without(self, patient_id: Iterable[object]) -> Companion:
        """Some patients left out, all their rows: they are held out of the fit that this companion takes part in."""
        left = np.flatnonzero(~np.isin(self.patients.patient_id.astype(str), [str(name) for name in patient_id]))
        return Companion(self.patients.take(left), self.outcomes.take(left))


def of_fold(companions: Sequence[Companion], patients: Patients, train: IntArray) -> tuple[Companion, ...]:
    """Companions without the patients that are not in a fold's training rows."""
    held_out = set(map(str, patients.patient_id)) - set(map(str, patients.patient_id[train]))
    return tuple(companion.without(held_out) for companion in companions)


def with_events(companions: Sequence[Companion]) -> tuple[Companion, ...]:
    """Companions from which there is something to learn; of one that is left out without any event, a word is said."""
    taught = tuple(one for one in companions if (one.outcomes.cause > 0).any())
    for one in companions:
        if not (one.outcomes.cause > 0).any():
            _say_left_out(one.outcomes.causes[0])
    return taught


@cache
def _say_left_out(event: str) -> None:
    """Once for each event, in however many folds it is missing."""
    _log.warning("also: no event of the endpoint of %s among the patients of a fit; it takes no part there", event)
