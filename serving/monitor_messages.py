"""What a request to watch patients and its answer may say: the pydantic models of ``/v1/monitor``."""

from __future__ import annotations

from typing import Annotated

from pydantic import FailFast, Field

from features.records import PatientRecord
from features.schema import Frozen
from serving.messages import ServedModel
from training.artifact.blocks import AlertsBlock

MAX_WATCHED = 20
"""Patients in one request."""
MOST_VISITS = 60
"""Of one patient: the latest."""


class MonitorRequest(Frozen):
    """Patients with all that is known until `landmark_day`, the present day, and no event of the endpoint by then."""

    patients: Annotated[tuple[PatientRecord, ...], Field(min_length=1, max_length=MAX_WATCHED), FailFast()]
    horizon_days: Annotated[float, Field(gt=0)] | None = None
    """For which risks look ahead from each visit; absent: that of the model's alert rule, else of the endpoint's
    decision, else its first."""


class Visit(Frozen):
    """A day on which something came to be known."""

    day: float
    """Days since infusion; what is dated within a day is known at its end."""
    known: tuple[str, ...]
    """Places of what came to be known that day: ``measurements.crp``, ``events.icans``, ``samples.blood``."""
    incidence: dict[str, float]
    """For each cause, the risk within the horizon of this day, by what was known then, of a patient free of all."""
    interval: dict[str, tuple[float, float]] | None = None
    """90 % intervals, as predictions have them; null where the model was not fitted with intervals."""
    tier: str | None = None
    """Of the endpoint's decision, where it has one and the horizon is its own."""
    alert: bool = False
    """Whether the threshold of `MonitorAnswer.alert_rule` was reached that the visit before was below; where there is
    no such rule, whether a tier above the lowest was."""


class Change(Frozen):
    """What changed since the visit before the last."""

    from_day: float
    to_day: float
    incidence: dict[str, float]
    """For each cause, risk at the last visit less risk at the one before."""
    average: dict[str, float]
    """The same of the average training patient: what time alone did."""
    moved_by: dict[str, dict[str, float]]
    """For each cause and part of the record, what its contribution changed by. With `average` they sum to
    `incidence`."""


class NextMeasurement(Frozen):
    """What a laboratory value would tell, if it were taken."""

    variable: str
    unit: str
    day: float
    """When it tells most, of a few days to come."""
    spread: float
    """Standard deviation of the risk over what the value may turn out to be: by so much the risk is expected to move.
    Values are deciles of what is likely by then: given the patient's last one and the common course of the training
    patients; by that course alone where he has none; of all their values where too few of them have several."""
    lowest: tuple[float, float]
    """The value, and the risk with it, where the risk is lowest."""
    highest: tuple[float, float]
    """Likewise, where it is highest."""


class Trajectory(Frozen):
    """One patient's course, in the order of the request."""

    patient_id: str
    horizon_days: float
    visits: tuple[Visit, ...]
    """Ascending; the last is the present day."""
    change: Change | None
    """Null at the first visit."""
    next_measurements: tuple[NextMeasurement, ...]
    """Of the event of interest, the most telling first; none where the model predicts from no later day. Left out are
    variables whose last value lies beyond the central 95 % of training: nothing tells what follows it."""


class MonitorAnswer(Frozen):
    """The answer to a `MonitorRequest`."""

    model: ServedModel
    alert_rule: AlertsBlock | None = None
    """By which alerts are raised, and what it did for patients whom the models had not seen; null where the model has
    none, or one for another horizon: alerts are of the tiers then."""
    trajectories: tuple[Trajectory, ...]
