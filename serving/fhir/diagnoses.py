"""Events that Conditions are: those that a model takes, and those that would end what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from features.records import EventRecord
from features.schema import Endpoint
from serving.fhir.codes import VERIFICATION, CodedEvent, event_of, severity_of
from serving.fhir.entries import Placed
from serving.fhir.gathered import Gathered
from serving.fhir.happened import Happening
from serving.fhir.known import Known
from serving.fhir.levels import Said, levels_said
from serving.fhir.observations import unless_unreadable
from serving.fhir.resources import Condition
from serving.fhir.times import Span, Timeline

BEFORE_DAYS = 30
"""Events of so many days before infusion enter; those of years ago are no course of this treatment."""


def read_diagnoses(
    conditions: Sequence[Placed],
    timeline: Timeline,
    endpoint: Endpoint,
    known: Known,
    gathered: Gathered,
    *,
    lenient: bool,
) -> tuple[list[Said], list[Happening]]:
    """Events until the landmark enter; what Conditions say of levels, and of what is predicted, is handed back.

    Args:
        conditions: Diagnoses, and what happened; none refuted.
        timeline: Of the patient.
        endpoint: Of the model.
        known: What the model knows.
        gathered: Takes what enters.
        lenient: Leave out what cannot be read, and say so; else it is refused.

    Raises:
        InputError: A date is none.
    """
    levels: list[Said] = []
    happenings: list[Happening] = []
    for one in conditions:
        with unless_unreadable(one, gathered, lenient=lenient):
            resource: Condition = one.resource
            sure = _is_confirmed(resource)
            when = resource.onset or resource.recorded_date
            said = list(levels_said(one, resource.code.codes, when, "onsetDateTime", timeline, known)) if sure else []
            levels += said
            event = event_of(resource.code.codes, resource.clinical_status.codes)
            if event is None or event.event not in known.events | set(endpoint.causes):
                if not said:
                    gathered.left("conditions of which the model knows nothing")
                continue
            happenings += _happenings(one, event, timeline, sure=sure)
            _take_event(one, event, timeline, known, gathered, sure=sure)
    return levels, happenings


def _is_confirmed(resource: Condition) -> bool:
    """Whether it says so, or says nothing of it."""
    status = resource.verification_status
    return status is None or (VERIFICATION, "confirmed") in status.codes


def _grade(one: Placed, event: CodedEvent) -> int | None:
    return event.grade or severity_of(one.resource.severity.codes)


def _take_event(
    one: Placed, event: CodedEvent, timeline: Timeline, known: Known, gathered: Gathered, *, sure: bool
) -> None:
    """As an input of the model, which takes what is certain and has a day."""
    span = _onset(one, timeline)
    if not sure:
        gathered.left("not confirmed")
    elif event.doubt:
        gathered.left("that their code alone does not show to be events")
    elif span.first < span.last or not (event.new or span.first >= 0):
        gathered.left("without a day of onset")
    elif span.first > timeline.landmark:
        gathered.left("after the landmark")
    elif span.first < -BEFORE_DAYS:
        gathered.left(f"more than {BEFORE_DAYS} days before infusion")
    elif event.event in known.events:
        gathered.parts[f"events[{len(gathered.events)}]"] = one
        gathered.events.append(EventRecord(event=event.event, day=span.first, grade=_grade(one, event)))


def _happenings(one: Placed, event: CodedEvent, timeline: Timeline, *, sure: bool) -> list[Happening]:
    """What it may be of that which the endpoint waits for; nothing where it was surely before infusion."""
    onset, doubts = _onset(one, timeline), [] if sure else ["that is not confirmed"]
    if event.doubt:
        doubts.append(event.doubt)
    if not event.new and onset.first < 0:  # of before infusion; it came back at the latest when that was recorded
        latest = timeline.span(one.resource.recorded_date, f"{one.place}.recordedDate").last
        if latest == inf:
            return []
        onset = Span(onset.first, latest)
    elif onset.first < onset.last:
        onset = Span(onset.first, max(onset.first, min(onset.last, _latest(one, timeline))))
    return [Happening(event.event, onset, _grade(one, event), tuple(doubts))]


def _onset(one: Placed, timeline: Timeline) -> Span:
    """The days on one of which it began, as far as its onset says."""
    return timeline.span(one.resource.onset, f"{one.place}.onsetDateTime")


def _latest(one: Placed, timeline: Timeline) -> float:
    """The last day on which it can have begun: when it was recorded, or had gone."""
    period = one.resource.onset_period
    ends = {
        "recordedDate": one.resource.recorded_date,
        "abatementDateTime": one.resource.abatement_date_time,
        "onsetPeriod.end": period.end if period is not None else None,
    }
    return min(timeline.span(said, f"{one.place}.{name}").last for name, said in ends.items())
