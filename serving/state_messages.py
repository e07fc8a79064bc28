"""What a request for a patient's states and its answer may say: the pydantic models of ``/v1/states``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import FailFast, Field

from features.records import PatientRecord
from features.schema import Frozen
from serving.messages import Prediction, ServedModel

MAX_IN_STATES = 100
"""Patients in one request."""


class StatesRequest(Frozen):
    """Patients, until when, and what a day is worth."""

    patients: Annotated[tuple[PatientRecord, ...], Field(min_length=1, max_length=MAX_IN_STATES), FailFast()]
    horizon_days: Annotated[float, Field(gt=0)] | None = None
    """Days after the landmark up to which days are counted; absent: the endpoint's last horizon, or the last one to
    which somebody was followed where models of transitions are served."""
    worth: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None
    """Of a day in a state, by name: ``event-free``, or a cause. Those not named: 1 event-free, 0.5 after the event of
    interest, 0 after others, which is arbitrary."""


class Banded(Frozen):
    """A number, and the interval that holds the middle 95 % of the refits: how sure it is, not what will happen."""

    value: float
    low: float
    high: float


class StateCourse(Frozen):
    """One state of a patient, by each of `times_days`."""

    probability: tuple[Banded, ...]
    """Of being in it then."""
    ever: tuple[Banded, ...]
    """Of having been in it by then, whatever came after; 1 of the state of the landmark."""
    days: tuple[Banded, ...]
    """Expected days in it up to then."""


class Transitions(Frozen):
    """A patient's states by a Cox model of each transition: what comes after a first event is followed, too."""

    times_days: tuple[float, ...]
    """After the landmark: the endpoint's horizons up to that of the request, which is the last."""
    states: dict[str, StateCourse]
    """By name. A patient's state is that of the furthest event so far, in this order; none is returned to."""
    benefit_days: Banded
    """Expected days event-free or with the event of interest, before anything that competes with it."""
    weighted_days: Banded
    """Expected days, each weighed by its worth."""
    picture_days: tuple[float, ...]
    """Days for a picture, from 0 to the horizon."""
    picture: dict[str, tuple[float, ...]]
    """Probability of being in each state on those days; on each they sum to 1."""


class PatientStates(Frozen):
    """One patient's states, in the order of the request."""

    basis: Literal["transitions", "first_events"]
    """On what `expected_days` and `weighted_days` rest. ``transitions``: models of transitions between states, where
    the model has some and the patient is seen from the landmark they start from. ``first_events``: the incidences of
    `prediction`; nothing is then known of what comes after a first event."""
    prediction: Prediction
    """What the risk model says: `event_free`, and each cause's incidence as the first event, others competing. Its
    numbers are not those of `transitions`, which are other models of the same patients."""
    expected_days: dict[str, float]
    """In each state up to the horizon; they sum to it. By first events: since each cause as the first event, whatever
    came after it."""
    weighted_days: float
    """Expected days, each weighed by its worth."""
    transitions: Transitions | None = None
    """Probabilities and days with intervals; None by first events."""


class StatesAnswer(Frozen):
    """Answer to ``/v1/states``."""

    model: ServedModel
    horizon_days: float
    worth: dict[str, float]
    """Of a day in each state, as it was used."""
    patients: tuple[PatientStates, ...]
