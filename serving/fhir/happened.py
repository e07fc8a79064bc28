"""Whether what an endpoint waits for has happened since infusion: for certain, or perhaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from features.schema import Endpoint, EventRule
from serving.decision import event_title
from serving.fhir.times import Span, Timeline


@dataclass(frozen=True, slots=True)
class Happening:
    """A Condition that may be what is predicted."""

    event: str
    span: Span
    """Days on one of which it began."""
    grade: int | None
    doubts: tuple[str, ...]
    """Why it may not have been, other than for its grade and its day."""


def certain(endpoint: Endpoint, found: Sequence[Happening], timeline: Timeline) -> EventRule | None:
    """What has happened for certain of that which the endpoint waits for; None: nothing."""
    for rule in (endpoint.event, *endpoint.competing):
        for one in found:
            if _doubts(rule, one, timeline) == []:
                return rule
    return None


def perhaps(endpoint: Endpoint, found: Sequence[Happening], timeline: Timeline) -> Iterator[str]:
    """What may have happened, and why it is not certain, for people; once for each event and doubt."""
    notes = {}
    for rule in (endpoint.event, *endpoint.competing):
        for one in found:
            doubts = _doubts(rule, one, timeline)
            if doubts:
                about = f"{rule.name.replace('_', ' ').capitalize()} {' and '.join(doubts)}"
                since = " since infusion" if any("day" in doubt for doubt in doubts) else ""
                notes[about] = f"if it was {event_title(rule)}{since}, this prediction is not for the patient."
    yield from (f"{about} is in the record: {then}" for about, then in notes.items())


def _doubts(rule: EventRule, one: Happening, timeline: Timeline) -> list[str] | None:
    """Why it may not have been what is waited for: nothing where it was; None where it surely was not."""
    if one.event != rule.name or not one.span.perhaps_within(0.0, timeline.until):
        return None
    doubts = [*one.doubts]
    if not rule.counts(one.event, one.grade):
        if one.grade is not None:
            return None
        doubts.insert(0, "without a grade")
    if not one.span.surely_within(0.0, timeline.until):
        doubts.append("without an exact day of onset")
    return doubts
