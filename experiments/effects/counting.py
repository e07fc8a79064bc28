"""Events that come back: which are counted, of whom, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.covariates import Covariates, covariates_of
from experiments.effects.adjustable import check_columns
from features.cohort import Cohort, ends_follow_up, qualifying
from features.cohort_recurrence import recurrences_at
from features.errors import SequelaError, nearest_or_all
from features.patients import IntArray
from features.recurrence import Recurrences
from features.schema import Endpoint, EventRule


@dataclass(frozen=True, slots=True)
class Counted:
    """All events of a kind that comes back, of the patients compared."""

    recurrences: Recurrences
    arm: IntArray
    """(patients,): as in `Arms`."""
    stratum: IntArray | None
    covariates: Covariates | None
    """What is adjusted for: of these patients, who are not those at risk of the endpoint's event."""

    @property
    def whom(self) -> str:
        """Which patients these are, after "patients"."""
        return f" at risk of --recurrent {self.recurrences.name}"


def counted(
    cohort: Cohort,
    endpoint: Endpoint,
    event: str,
    arm: IntArray,
    names: Sequence[str],
    *,
    stratum: IntArray | None,
    adjust: Sequence[str],
) -> Counted:
    """All occurrences of an event in the patients of known arm who are at risk of it at the endpoint's first landmark.

    Args:
        cohort: The cohort.
        endpoint: What competes with the event, and its grade if it is the endpoint's.
        event: Its name.
        arm: (patients of the cohort,): number of each patient's arm; −1: none.
        names: Of the arms.
        stratum: (patients of the cohort,), or None.
        adjust: Variables adjusted for, perhaps none.

    Raises:
        SequelaError: No event has the name, no patient has it twice, nobody in an arm has it, or those at risk of it
            are too few for what is adjusted for.
    """
    occurring = sorted(set(cohort.events["event"]))
    if event not in occurring:
        remedy = nearest_or_all(event, occurring)
        msg = f"--recurrent {event}: no event of {cohort.folder} has this name; {remedy}"
        raise SequelaError(msg)
    declared = {one.name: one for one in (endpoint.event, *endpoint.competing)}
    rule = declared.get(event, EventRule(name=event))
    _check_comes_back(cohort, rule)
    counting = endpoint.model_copy(update={"event": rule, "competing": _terminals(cohort, endpoint, event)})
    rows, recurrences = recurrences_at(cohort, counting, endpoint.landmark_days[0])
    known = np.flatnonzero(arm[rows] >= 0)
    own, kept = recurrences.take(known), arm[rows[known]]
    for k, name in enumerate(names):
        if not np.isin(own.row, np.flatnonzero(kept == k)).any():
            msg = f"--recurrent {event}: does not occur in the arm {name} after the landmark; rates cannot be compared"
            raise SequelaError(msg)
    covariates = covariates_of(cohort, adjust, rows[known]) if adjust else None
    found = Counted(own, kept, None if stratum is None else stratum[rows[known]], covariates)
    if covariates is not None:
        check_columns(cohort, covariates, rows[known], kept, found.whom)
    return found


def _check_comes_back(cohort: Cohort, rule: EventRule) -> None:
    days = qualifying(cohort.events, rule)[["patient_id", "day"]].drop_duplicates()
    if not days["patient_id"].duplicated().any():
        msg = (
            f"--recurrent {rule.name}: no patient has it twice, so it does not come back; name an event that does, "
            "or compare this one as the event of an --endpoint"
        )
        raise SequelaError(msg)


def _terminals(cohort: Cohort, endpoint: Endpoint, event: str) -> tuple[EventRule, ...]:
    """What ends the counting of an event: what competes, and the endpoint's own event if it ends follow-up."""
    own = (endpoint.event,) if ends_follow_up(cohort, endpoint.event) else ()
    return tuple(one for one in (*own, *endpoint.competing) if one.name != event)
