"""What a request for a patient's states and its answer may say: the pydantic models of ``/v1/states``."""

from __future__ import annotations

from typing import Annotated

from pydantic import FailFast, Field

from features.records import PatientRecord
from features.schema import Frozen
from serving.messages import Prediction, ServedModel

MAX_IN_STATES = 100
"""Patients in one request."""
EVENT_FREE = "event-free"
"""The state before any event of the endpoint."""


class StatesRequest(Frozen):
    """Patients, until when, and what a day is worth."""

    patients: Annotated[tuple[PatientRecord, ...], Field(min_length=1, max_length=MAX_IN_STATES), FailFast()]
    horizon_days: Annotated[float, Field(gt=0)] | None = None
    """Days after the landmark up to which days are counted; absent: the endpoint's last horizon."""
    worth: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None
    """Of a day in a state, by name: ``event-free``, or a cause. Those not named: 1 event-free, 0.5 after the event of
    interest, 0 after others, which is arbitrary."""


class PatientStates(Frozen):
    """One patient's states by first event, in the order of the request: after a first event nothing is followed."""

    prediction: Prediction
    """Probability of each state at days for a picture: `event_free`, and each cause's incidence, others competing."""
    expected_days: dict[str, float]
    """In each state up to the horizon: event-free, and since each cause as the first event, whatever came after it.
    They sum to the horizon."""
    weighted_days: float
    """Expected days, each weighed by its worth."""


class StatesAnswer(Frozen):
    """Answer to ``/v1/states``."""

    model: ServedModel
    horizon_days: float
    worth: dict[str, float]
    """Of a day in each state, as it was used."""
    patients: tuple[PatientStates, ...]
