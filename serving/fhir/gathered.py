"""What is gathered of a record while it is read: the parts that enter, and what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from features.records import EventRecord, MeasurementRecord, Quantity
from serving.fhir.entries import Placed

MOST_NAMED = 8
"""Resources that a note names."""


@dataclass(slots=True)
class Gathered:
    """Of one patient."""

    baseline: dict[str, float | str | Quantity | None] = field(default_factory=dict)
    measurements: list[MeasurementRecord] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    parts: dict[str, Placed] = field(default_factory=dict)
    """By the part of the record, as ``measurements[3]``, what it is made of."""
    notes: list[str] = field(default_factory=list)
    _left: Counter[str] = field(default_factory=Counter)
    _unreadable: list[str] = field(default_factory=list)

    def left(self, why: str, number: int = 1) -> None:
        """Resources do not enter."""
        self._left[why] += number

    def unreadable(self, name: str) -> None:
        """A resource that would enter cannot be read."""
        self._unreadable.append(name)

    @property
    def basis(self) -> tuple[str, ...]:
        """References to what entered, each once."""
        return tuple(dict.fromkeys(one.reference for one in self.parts.values() if one.reference))

    @property
    def preliminary(self) -> bool:
        """Whether a preliminary value entered."""
        return any(getattr(one.resource, "status", None) == "preliminary" for one in self.parts.values())

    def told(self) -> Iterator[str]:
        """Notes, and last what was left out."""
        yield from self.notes
        if self._unreadable:
            named = ", ".join(self._unreadable[:MOST_NAMED])
            more = len(self._unreadable) - MOST_NAMED
            yield f"Could not be read, and did not enter: {named}{f' and {more} more' if more > 0 else ''}."
        left = [f"{number} {why}" for why, number in sorted(self._left.items()) if number]
        if left:
            yield f"Not used of the record: {', '.join(left)}."
