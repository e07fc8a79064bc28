"""Events and levels that Conditions and Procedures stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf

from features.records import EventRecord
from features.schema import Endpoint, EventRule
from serving.fhir.codes import event_of
from serving.fhir.entries import Placed
from serving.fhir.gathered import Gathered
from serving.fhir.known import Known
from serving.fhir.resources import CodeableConcept, day_of, days_between

BEFORE_DAYS = 30
"""Events of so many days before infusion enter; those of years ago are no course of this treatment."""
_UNTRUE = ("entered-in-error", "refuted")
_GRADES = {**{str(grade): grade for grade in range(1, 6)}, "255604002": 1, "6736007": 2, "24484000": 3}
"""Of a Condition's severity: ours, and mild, moderate and severe of SNOMED CT."""


@dataclass(frozen=True, slots=True)
class _Said:
    """That a variable has a level."""

    name: str
    level: str
    day: float
    by: Placed


def read_diagnoses(
    conditions: Sequence[Placed],
    procedures: Sequence[Placed],
    infused: Placed,
    infusion: date,
    landmark: float,
    endpoint: Endpoint,
    known: Known,
    gathered: Gathered,
) -> None:
    """Events until the landmark, and levels (disease, product) as of infusion.

    Args:
        conditions: Diagnoses, and what happened.
        procedures: Done to the patient.
        infused: The procedure that is day 0.
        infusion: Its day.
        landmark: Day after infusion from which the prediction looks ahead.
        endpoint: Of the model.
        known: What the model knows.
        gathered: Takes what enters.

    Raises:
        InputError: A date is none.
    """
    said = [_Said(name, level, 0.0, infused) for name, level in known.levels_of(infused.resource.codes)]
    for one in procedures:
        if one is not infused and one.resource.status == "completed":
            said += _levels(one, one.resource.codes, one.resource.when, "performedDateTime", infusion, known)
    for one in conditions:
        if any(code in _UNTRUE for _, code in one.resource.verification_status.codes):
            gathered.left("refuted or entered in error")
            continue
        when = one.resource.onset or one.resource.recorded_date
        said += _levels(one, one.resource.code.codes, when, "onsetDateTime", infusion, known)
        _take_event(one, infusion, landmark, known.events | set(endpoint.causes), known, gathered)
    _take_levels(said, gathered)


def _levels(
    one: Placed, codes: Sequence[tuple[str, str]], when: str | None, element: str, infusion: date, known: Known
) -> Iterator[_Said]:
    """What was so until infusion; without a day it always was."""
    on = day_of(when, f"{one.place}.{element}")
    day = -inf if on is None else days_between(on, infusion, one.place)
    if day <= 0:
        yield from (_Said(name, level, day, one) for name, level in known.levels_of(codes))


def _take_levels(said: Sequence[_Said], gathered: Gathered) -> None:
    """The latest of each variable; two of one day leave it unknown."""
    for name in dict.fromkeys(one.name for one in said):
        own = [one for one in said if one.name == name]
        latest = [one for one in own if one.day == max(other.day for other in own)]
        if len({one.level for one in latest}) > 1:
            gathered.notes.append(f"The record says several things of {name} at once: it is taken as unknown.")
            continue
        gathered.baseline[name] = latest[0].level
        gathered.parts[f"baseline.{name}"] = latest[0].by


def _take_event(
    one: Placed, infusion: date, landmark: float, looked_for: frozenset[str], known: Known, gathered: Gathered
) -> None:
    event = event_of(one.resource.code.codes)
    if event is None or event[0] not in looked_for:
        return
    on = day_of(one.resource.onset, f"{one.place}.onsetDateTime")
    if on is None:
        gathered.left("without a day of onset")
        return
    day = days_between(on, infusion, one.place)
    if day > landmark:
        gathered.left("after the landmark")
    elif day < -BEFORE_DAYS:
        gathered.left(f"more than {BEFORE_DAYS} days before infusion")
    else:
        found = EventRecord(event=event[0], day=day, grade=event[1] or _grade(one.resource.severity))
        gathered.course.append(found)
        if found.event in known.events:
            gathered.parts[f"events[{len(gathered.events)}]"] = one
            gathered.events.append(found)


def _grade(severity: CodeableConcept) -> int | None:
    return next((_GRADES[code] for _, code in severity.codes if code in _GRADES), None)


def happened(endpoint: Endpoint, events: Sequence[EventRecord]) -> tuple[EventRule | None, EventRule | None]:
    """What has happened since infusion of that which the endpoint waits for: for certain, and perhaps (no grade)."""
    certain = perhaps = None
    for rule in (endpoint.event, *endpoint.competing):
        for event in events:
            if event.event != rule.name or event.day < 0:
                continue
            if rule.counts(event.event, event.grade):
                certain = certain or rule
            elif event.grade is None:
                perhaps = perhaps or rule
    return certain, perhaps
