"""Which infusion is day 0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from features.errors import InputError
from serving.fhir.codes import is_infusion
from serving.fhir.entries import Placed
from serving.fhir.gathered import Gathered
from serving.fhir.observations import unless_unreadable
from serving.fhir.times import days_of

EXACT = "must be a date to the day: it is day 0"


class NotApplicableError(InputError):
    """A record is sound, and the model has nothing to say of the patient: not treated, not yet, not any more."""


def infusion_of(
    procedures: Sequence[Placed], asked_on: date, gathered: Gathered, *, lenient: bool
) -> tuple[date, Placed]:
    """The latest infusion that is over, and not after the day on which it is asked.

    Args:
        procedures: All that were completed.
        asked_on: The day on which it is asked.
        gathered: Is told of what cannot be read.
        lenient: Name infusions that may be later and of which the day is not known; else they are refused.

    Raises:
        NotApplicableError: There was none.
        InputError: The day of one is not known, which may be the latest.
    """
    exact: list[tuple[date, Placed]] = []
    inexact: list[tuple[date, Placed]] = []
    for one in procedures:
        if not is_infusion(one.resource.codes):
            continue
        with unless_unreadable(one, gathered, lenient=lenient):
            first, last = days_of(one.resource.when, _place(one)) or (date.min, asked_on)
            if first == last and last <= asked_on:
                exact.append((last, one))
            elif first < last and first <= asked_on:
                inexact.append((last, one))
    latest = max(exact, key=lambda infused: infused[0], default=None)
    for last, one in inexact:
        if latest is not None and last < latest[0]:  # surely an earlier one
            continue
        if latest is None or not lenient:
            raise InputError(_place(one), EXACT)
        gathered.unreadable(one.name)
    if latest is None:
        rule = "must hold a completed Procedure whose code is an infusion of CAR-T cells, until the day of asking"
        raise NotApplicableError("Bundle.entry", f"{rule}; codes are listed in the OperationDefinition")
    return latest


def _place(one: Placed) -> str:
    return f"{one.place}.performedDateTime"
