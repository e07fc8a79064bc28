"""From a cohort and an endpoint to the states that patients go through."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.cohort import Cohort, ends_follow_up, qualifying
from features.errors import SequelaError
from features.patients import FloatArray, IntArray
from features.schema import Endpoint, EventRule
from features.states import EVENT_FREE, STAYS, StateHistories

TIE_DAYS = 0.5
"""Between two events of a patient that are known by one day: the first in the order of states comes first."""


def state_rules(cohort: Cohort, endpoint: Endpoint) -> tuple[tuple[EventRule, ...], int]:
    """The events that lead into states, in the order of states, and how many of them one goes on from.

    The event of interest first, then what competes with it in the endpoint's order, but what ends follow-up, such as
    death, last.

    Raises:
        SequelaError: Nobody is followed beyond the event of interest.
    """
    ends = {rule.name: ends_follow_up(cohort, rule) for rule in (endpoint.event, *endpoint.competing)}
    if ends[endpoint.event.name]:
        msg = (
            f"endpoint {endpoint.name}: nobody in {cohort.folder} is followed beyond {endpoint.event.name}, so that "
            "what comes after it is not known; choose an endpoint whose event patients live on with, or give "
            "follow_up_days to the end of observation"
        )
        raise SequelaError(msg)
    passed = tuple(rule for rule in endpoint.competing if not ends[rule.name])
    last = tuple(rule for rule in endpoint.competing if ends[rule.name])
    return (endpoint.event, *passed, *last), 1 + len(passed)


def state_histories_at(cohort: Cohort, endpoint: Endpoint, landmark_day: float) -> tuple[IntArray, StateHistories]:
    """The states that patients go through from a landmark on.

    A patient's state is that of the furthest event so far in the order of `state_rules`: after relapse, a first
    infection changes it no more. Patients are those without any of the events by the landmark who are followed beyond
    it; events after follow-up are not observed. Of events on one day the first in the order of states comes first, and
    the others `TIE_DAYS` later each, so that an infection that kills within the day counts as both. Who enters
    observation late (`entry_day`) is observed from then on, in the state of that day, unless it is a last one.

    Returns:
        Positions of the patients in ``cohort.patients``, and their stays.

    Raises:
        SequelaError: Nobody is followed beyond the event of interest, or nobody is at risk at the landmark.
    """
    rules, n_passed = state_rules(cohort, endpoint)
    day = _first_days(cohort, rules) - landmark_day
    end = cohort.patients["follow_up_days"].to_numpy(dtype=float) - landmark_day
    entry = np.zeros(len(end))
    if "entry_day" in cohort.patients:
        entry = np.clip(cohort.patients["entry_day"].fillna(0.0).to_numpy(dtype=float) - landmark_day, 0.0, None)
    rows: list[int] = []
    stays: list[tuple[int, int, float, float, int, float]] = []
    for i in np.flatnonzero((day > 0).all(axis=1) & (end > entry)):
        own = _stays(day[i], float(end[i]), float(entry[i]), n_passed)
        if own:
            stays += [(len(rows), *stay) for stay in own]
            rows.append(int(i))
    if not rows:
        msg = (
            f"endpoint {endpoint.name}: no patient is at risk at landmark day {landmark_day:g}; "
            "choose an earlier landmark_days"
        )
        raise SequelaError(msg)
    patient, state, start, stop, following, entered = (np.array(column) for column in zip(*stays, strict=True))
    names = (EVENT_FREE, *(rule.name for rule in rules))
    histories = StateHistories(patient, state, start, stop, following, entered, names, len(rows))
    return np.array(rows, dtype=np.int64), histories


def _first_days(cohort: Cohort, rules: tuple[EventRule, ...]) -> FloatArray:
    """(patients, rules): day of the first event of each kind within follow-up; infinite where there is none."""
    ids = pd.Index(cohort.patients["patient_id"])
    follow_up = cohort.patients["follow_up_days"].to_numpy(dtype=float)
    firsts = (qualifying(cohort.events, rule).groupby("patient_id")["day"].min().reindex(ids) for rule in rules)
    day = np.column_stack([first.to_numpy(dtype=float) for first in firsts])
    return np.where(day <= follow_up[:, None], day, np.inf)


def _stays(day: FloatArray, end: float, entry: float, n_passed: int) -> list[tuple[int, float, float, int, float]]:
    """State, start, stop, next state and day of entry of each stay of one patient, by days (rules,) of first events."""
    found = []
    state, since = 0, 0.0
    order = np.lexsort((np.arange(len(day)), day))
    for rule in order[np.isfinite(day[order])]:
        if rule + 1 < state or state > n_passed:
            continue
        at = float(day[rule]) if day[rule] > since else since + TIE_DAYS
        if at > entry:
            found.append((state, max(since, entry), at, int(rule) + 1, since))
        state, since = int(rule) + 1, at
    if state <= n_passed and end > max(since, entry):
        found.append((state, max(since, entry), end, STAYS, since))
    return found
