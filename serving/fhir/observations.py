"""Measured values of a record: which of several holds, and where each enters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date

from features.errors import InputError
from features.records import MeasurementRecord, Quantity
from serving.fhir.entries import Placed
from serving.fhir.gathered import Gathered
from serving.fhir.known import Known
from serving.fhir.resources import Observation, day_of, days_between

_RANKS = {"preliminary": 0, "final": 1, "amended": 2, "corrected": 2}
"""Statuses of values that hold; of one time, those of the highest rank do."""


def read_observations(
    observations: Sequence[Placed],
    infusion: date,
    landmark: float,
    known: Known,
    gathered: Gathered,
    *,
    lenient: bool,
) -> None:
    """Values until the landmark; as baseline the latest until infusion.

    Args:
        observations: In any order.
        infusion: Day 0.
        landmark: Day after infusion from which the prediction looks ahead.
        known: What the model knows.
        gathered: Takes what enters.
        lenient: Leave out what cannot be read, and say so; else it is refused.

    Raises:
        InputError: A value that would enter is none of its variable's, in no unit of it, or cannot be.
    """
    for names, day, one in _holding(observations, infusion, known, gathered):
        if day > landmark:
            gathered.left("after the landmark")
            continue
        for name in names:
            if name not in known.measured and day > 0:
                gathered.left("after infusion, of what is taken at infusion")
                continue
            try:
                value = known.value_of(name, one.resource, one.place)
            except InputError:
                if not lenient:
                    raise
                gathered.unreadable(one)
                continue
            if value is None:
                gathered.left("without a value")
            else:
                _take(name, value, day, one, known, gathered)


def _take(name: str, value: float | str | Quantity, day: float, one: Placed, known: Known, gathered: Gathered) -> None:
    comparator = one.resource.value_quantity.comparator if one.resource.value_quantity is not None else None
    if comparator:
        who = one.reference or one.place
        gathered.notes.append(f"{who}: given as {comparator} a limit, which is taken for the value of {name}.")
    if name in known.baseline and day <= 0:
        gathered.baseline[name] = value
        gathered.parts[f"baseline.{name}"] = one
    if name in known.measured and isinstance(value, Quantity):
        gathered.parts[f"measurements[{len(gathered.measurements)}]"] = one
        gathered.measurements.append(
            MeasurementRecord(variable=name, day=day, value=value.value, unit=value.unit or None)
        )


def _holding(
    observations: Sequence[Placed], infusion: date, known: Known, gathered: Gathered
) -> Iterator[tuple[tuple[str, ...], float, Placed]]:
    """Names of variables, day and value of what holds, the earliest first."""
    of_time: dict[tuple[tuple[str, ...], str], list[Placed]] = defaultdict(list)
    days: dict[str, float] = {}
    for one in observations:
        names, when = known.variables_of(one.resource.code.codes), one.resource.when
        if not names:
            gathered.left("of which the model knows nothing")
            continue
        on = day_of(when, f"{one.place}.effectiveDateTime") if one.resource.status in _RANKS else None
        if one.resource.status not in _RANKS:
            gathered.left("not final")
        elif on is None or when is None:
            gathered.left("without a day")
        else:
            days[when] = days_between(on, infusion, one.place)
            of_time[names, when].append(one)
    for (names, when), found in sorted(of_time.items(), key=lambda item: (days[item[0][1]], item[0][1])):
        holding = _in_force(found)
        gathered.left("repeated or replaced", len(found) - len(holding))
        yield from ((names, days[when], one) for one in holding)


def _in_force(found: Sequence[Placed]) -> list[Placed]:
    """Of values of one time, those of the highest rank and the last issue, each once."""
    rank = max(_rank(one.resource) for one in found)
    best = {_said(one.resource): one for one in found if _rank(one.resource) == rank}
    return sorted(best.values(), key=lambda one: _said(one.resource))


def _rank(resource: Observation) -> tuple[int, str]:
    updated = resource.meta.last_updated if resource.meta else None
    return _RANKS[resource.status or ""], resource.issued or updated or ""


def _said(resource: Observation) -> str:
    """A value as text: equal for equal ones."""
    return resource.model_dump_json(
        include={"value_quantity", "value_integer", "value_string", "value_boolean", "value_codeable_concept"}
    )
