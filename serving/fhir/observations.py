"""Measured values of a record: which of several holds, and where each enters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from features.errors import InputError
from features.records import MeasurementRecord, Quantity
from serving.fhir.entries import Placed
from serving.fhir.gathered import Gathered
from serving.fhir.known import Known
from serving.fhir.resources import Observation
from serving.fhir.times import Moment, Timeline, moment_of

_RANKS = {"preliminary": 0, "final": 1, "amended": 2, "corrected": 2}
"""Statuses of values that hold; of one time, those of the highest rank do."""
REPEATED = "repeated or replaced"


@dataclass(frozen=True, slots=True)
class _Value:
    """An Observation of variables of the model."""

    names: tuple[str, ...]
    when: Moment
    day: float
    """Since infusion."""
    issued: datetime | None
    placed: Placed

    @property
    def rank(self) -> tuple[int, bool, datetime]:
        """Of those of one time, the highest holds."""
        return _RANKS[self.placed.resource.status], self.issued is not None, self.issued or self.when.instant


def read_observations(
    observations: Sequence[Placed], timeline: Timeline, known: Known, gathered: Gathered, *, lenient: bool
) -> None:
    """Values until the landmark; as baseline the latest until infusion.

    Args:
        observations: In any order, all of statuses that hold.
        timeline: Of the patient.
        known: What the model knows.
        gathered: Takes what enters.
        lenient: Leave out what cannot be read, and say so; else it is refused.

    Raises:
        InputError: A value that would enter is none of its variable's, in no unit of it, or cannot be.
    """
    taken: set[tuple[str, datetime, bool, float | str]] = set()
    for one in _holding(observations, timeline, known, gathered, lenient=lenient):
        if one.day > timeline.landmark:
            gathered.left("after the landmark")
            continue
        for name in one.names:
            if name not in known.measured and one.day > 0:
                gathered.left("after infusion, of what is taken at infusion")
                continue
            with unless_unreadable(one.placed, gathered, lenient=lenient):
                value = known.value_of(name, one.placed.resource, one.placed.place)
                if value is None:
                    gathered.left("without a value")
                    continue
                alike = known.in_own_unit(name, value, one.placed.place) if isinstance(value, Quantity) else value
                key = name, one.when.instant, one.when.timed, _rounded(alike)
                if key in taken:  # the same in another unit
                    gathered.left(REPEATED)
                else:
                    taken.add(key)
                    _take(name, value, one, known, gathered)


@contextmanager
def unless_unreadable(one: Placed, gathered: Gathered, *, lenient: bool) -> Iterator[None]:
    """Name a resource that cannot be read, where that is wanted, rather than refuse it.

    Raises:
        InputError: It cannot be read, and is to be refused.
    """
    try:
        yield
    except InputError:
        if not lenient:
            raise
        gathered.unreadable(one.name)


def _rounded(value: float | str) -> float | str:
    """Equal for values that differ by less than conversions do."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _take(name: str, value: float | str | Quantity, one: _Value, known: Known, gathered: Gathered) -> None:
    quantity = one.placed.resource.value_quantity
    if quantity is not None and quantity.comparator:
        gathered.notes.append(
            f"{one.placed.name}: given as {quantity.comparator} a limit, which is taken for the value of {name}."
        )
    if name in known.baseline and one.day <= 0:
        gathered.baseline[name] = value
        gathered.parts[f"baseline.{name}"] = one.placed
    if name in known.measured and isinstance(value, Quantity):
        gathered.parts[f"measurements[{len(gathered.measurements)}]"] = one.placed
        gathered.measurements.append(
            MeasurementRecord(variable=name, day=one.day, value=value.value, unit=value.unit or None)
        )


def _holding(
    observations: Sequence[Placed], timeline: Timeline, known: Known, gathered: Gathered, *, lenient: bool
) -> Iterator[_Value]:
    """What holds of the values of one variable and one time, the earliest first."""
    of_time: dict[tuple[tuple[str, ...], datetime, bool], list[_Value]] = defaultdict(list)
    for placed in observations:
        with unless_unreadable(placed, gathered, lenient=lenient):
            one = _value(placed, timeline, known)
            if one is None:
                gathered.left("without a day")
            else:
                of_time[one.names, one.when.instant, one.when.timed].append(one)
    for _, found in sorted(of_time.items(), key=lambda item: item[0][1:]):
        holding = _in_force(found)
        gathered.left(REPEATED, len(found) - len(holding))
        yield from holding


def _value(one: Placed, timeline: Timeline, known: Known) -> _Value | None:
    """None: it has no day."""
    resource: Observation = one.resource
    when = moment_of(resource.when, f"{one.place}.effectiveDateTime")
    if when is None:
        return None
    said = moment_of(resource.issued, f"{one.place}.issued")
    said = said or moment_of(resource.meta.last_updated if resource.meta else None, f"{one.place}.meta.lastUpdated")
    day = timeline.day(when.day, one.place)
    return _Value(known.variables_of(resource.code.codes), when, day, said.instant if said else None, one)


def _in_force(found: Sequence[_Value]) -> list[_Value]:
    """Of values of one time, those of the highest rank and the last issue, each once."""
    rank = max(one.rank for one in found)
    best = {_said(one.placed.resource): one for one in found if one.rank == rank}
    return [best[said] for said in sorted(best)]


def _said(resource: Observation) -> str:
    """A value as text: equal for equal ones."""
    return resource.model_dump_json(
        include={"value_quantity", "value_integer", "value_string", "value_boolean", "value_codeable_concept"}
    )
