"""An endpoint's recurrent events, read from a cohort."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cohort import Cohort, qualifying
from features.errors import SequelaError
from features.recurrence import Recurrences
from features.schema import Endpoint


def recurrences_at(cohort: Cohort, endpoint: Endpoint, landmark_day: float) -> tuple[NDArray[np.int64], Recurrences]:
    """All events that an endpoint is about, from one landmark; its competing events end the counting.

    At risk is who is followed beyond the landmark and has met no competing event by then; an earlier event of interest
    does not matter. An event on the day of a terminal one counts: the terminal one is the later of the two.

    Returns:
        Positions of the patients at risk in ``cohort.patients``, and their events.

    Raises:
        SequelaError: Nobody is at risk, or the cohort has late entry, for which counting is not defined here.
    """
    patients = cohort.patients
    if "entry_day" in patients and (patients["entry_day"].fillna(0.0) > landmark_day).any():
        msg = f"{cohort.folder}: patients.entry_day: counts of events need observation from day {landmark_day:g} on"
        raise SequelaError(msg + "; leave out the patients who enter later")
    ids = pd.Index(patients["patient_id"])
    end = patients["follow_up_days"].to_numpy(dtype=float).copy()
    terminal = np.zeros(len(ids), dtype=np.int64)
    for number, rule in enumerate(endpoint.competing, start=1):
        first = qualifying(cohort.events, rule).groupby("patient_id")["day"].min().reindex(ids).to_numpy(dtype=float)
        sooner = (first < end) | ((first == end) & (terminal == 0))
        end[sooner], terminal[sooner] = first[sooner], number
    at_risk = np.flatnonzero(end > landmark_day)
    if not len(at_risk):
        msg = f"endpoint {endpoint.name}: nobody is at risk at landmark day {landmark_day:g}; choose an earlier one"
        raise SequelaError(msg)
    events = qualifying(cohort.events, endpoint.event)
    place = np.full(len(ids), -1, dtype=np.int64)
    place[at_risk] = np.arange(len(at_risk))
    row = place[ids.get_indexer(pd.Index(events["patient_id"]))]
    day = events["day"].to_numpy(dtype=float)
    counted = (row >= 0) & (day > landmark_day)
    counted[counted] = day[counted] <= end[at_risk][row[counted]]
    names = tuple(rule.name for rule in endpoint.competing)
    kept = Recurrences(
        end[at_risk] - landmark_day,
        terminal[at_risk],
        row[counted],
        day[counted] - landmark_day,
        endpoint.event.name,
        names,
    )
    return at_risk, kept
