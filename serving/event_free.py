"""Who had an event of the endpoint already: of the risk of a first one nothing can be said any more."""

from __future__ import annotations

from features.errors import InputError
from features.records import PatientRecord
from features.schema import Endpoint


def require_event_free(record: PatientRecord, place: str, endpoint: Endpoint, told: str) -> None:
    """Refuse a patient who had an event of the endpoint, of interest or competing, by the landmark.

    Args:
        record: The patient.
        place: In the request, e.g. ``patients[0]``.
        endpoint: Of the model.
        told: What is told of those without, and what to do, e.g. ``states are those of patients who had none by then``.

    Raises:
        InputError: Names the event by its place.
    """
    rules = (endpoint.event, *endpoint.competing)
    for i, event in enumerate(record.events):
        meant = any(rule.counts(event.event, event.grade) for rule in rules)
        if meant and event.day <= record.landmark_day:
            raise InputError(f"{place}.events[{i}]", f"is an event of {endpoint.name} by its landmark; {told}")
