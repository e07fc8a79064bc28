"""Levels of variables, as the disease and the product, that codes of Conditions and Procedures stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from serving.fhir.codes import Code
from serving.fhir.entries import Placed
from serving.fhir.gathered import Gathered
from serving.fhir.known import Known
from serving.fhir.observations import unless_unreadable
from serving.fhir.times import Timeline


@dataclass(frozen=True, slots=True)
class Said:
    """That a variable has a level."""

    name: str
    level: str
    day: float
    by: Placed


def levels_said(
    one: Placed, codes: Sequence[Code], when: str | None, element: str, timeline: Timeline, known: Known
) -> Iterator[Said]:
    """What was so until infusion, from the first day on which it can have been; without a date it always was.

    Raises:
        InputError: `when` is no date.
    """
    day = timeline.span(when, f"{one.place}.{element}").first
    if day <= 0:
        yield from (Said(name, level, day, one) for name, level in known.levels_of(codes))


def levels_of_procedures(
    procedures: Sequence[Placed],
    infused: Placed,
    timeline: Timeline,
    known: Known,
    gathered: Gathered,
    *,
    lenient: bool,
) -> list[Said]:
    """Of what was done until infusion, and with the infusion itself.

    Args:
        procedures: All that were completed.
        infused: The one that is day 0.
        timeline: Of the patient.
        known: What the model knows.
        gathered: Is told of what cannot be read.
        lenient: Leave out what cannot be read, and say so; else it is refused.

    Raises:
        InputError: A date is none.
    """
    said = [Said(name, level, 0.0, infused) for name, level in known.levels_of(infused.resource.codes)]
    for one in procedures:
        if one is not infused and any(known.levels_of(one.resource.codes)):  # of others no date is looked at
            with unless_unreadable(one, gathered, lenient=lenient):
                said += levels_said(one, one.resource.codes, one.resource.when, "performedDateTime", timeline, known)
    return said


def take_levels(said: Sequence[Said], gathered: Gathered) -> None:
    """The latest of each variable; two of one day leave it unknown."""
    for name in dict.fromkeys(one.name for one in said):
        own = [one for one in said if one.name == name]
        latest = [one for one in own if one.day == max(other.day for other in own)]
        if len({one.level for one in latest}) > 1:
            gathered.notes.append(f"The record says several things of {name} at once: it is taken as unknown.")
            continue
        gathered.baseline[name] = latest[0].level
        gathered.parts[f"baseline.{name}"] = latest[0].by
