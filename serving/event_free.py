"""Who had an event of the endpoint already: of the risk of a first one nothing can be said any more."""

from __future__ import annotations

from collections.abc import Iterator

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
    number = counted_event(record, endpoint)
    if number is not None:
        raise InputError(f"{place}.events[{number}]", f"is an event of {endpoint.name} by its landmark; {told}")


def counted_event(record: PatientRecord, endpoint: Endpoint) -> int | None:
    """Position of the first of a patient's events that is one of the endpoint by the landmark; None: there is none."""
    return next(iter(_counted_events(record, endpoint)), None)


def happened(record: PatientRecord, endpoint: Endpoint) -> tuple[str, ...]:
    """Names of a patient's events that are of the endpoint and by the landmark, each once, in the record's order."""
    return tuple(dict.fromkeys(record.events[i].event for i in _counted_events(record, endpoint)))


def counting_ended(record: PatientRecord, endpoint: Endpoint) -> bool:
    """Whether a competing event by the landmark ended the counting of those of interest."""
    rules = endpoint.competing
    by_then = (event for event in record.events if event.day <= record.landmark_day)
    return any(rule.counts(event.event, event.grade) for event in by_then for rule in rules)


def _counted_events(record: PatientRecord, endpoint: Endpoint) -> Iterator[int]:
    """By the rules of training: patients with one of these were not at risk there."""
    rules = (endpoint.event, *endpoint.competing)
    for i, event in enumerate(record.events):
        if event.day <= record.landmark_day and any(rule.counts(event.event, event.grade) for rule in rules):
            yield i
