"""Dates of FHIR: the calendar day as it is written, the instant, and the days that an inexact date spans."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import inf
from typing import NoReturn

from features.errors import InputError

LONGEST_DAYS = 36_500
_DAY = re.compile(
    r"((?:19|20|21)\d{2}-\d{2}-\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,12})?)?(?:Z|[+-]\d{2}:\d{2})?)?", re.ASCII
)
_MONTH = re.compile(r"((?:19|20|21)\d{2})(?:-(0[1-9]|1[0-2]))?", re.ASCII)
_LEAP = re.compile(r"(?<=:\d\d:)60")
"""A leap second, which Python does not know."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A date to the day, or with its time."""

    day: date
    """As written, in its own time zone."""
    instant: datetime
    """UTC. Of a date alone noon: so it lies after all of the day before, and before all of the next, in zones of up to
    12 hours. A time without a zone is read as UTC."""
    timed: bool


@dataclass(frozen=True, slots=True)
class Span:
    """The days on one of which something was: numbers of days since infusion."""

    first: float
    last: float

    def surely_within(self, first: float, last: float) -> bool:
        """Whether every day of it is one of these."""
        return first <= self.first and self.last <= last

    def perhaps_within(self, first: float, last: float) -> bool:
        """Whether a day of it is one of these."""
        return self.first <= last and first <= self.last


@dataclass(frozen=True, slots=True)
class Timeline:
    """Of one patient and question."""

    infusion: date
    """Day 0."""
    landmark: float
    """Day from which the prediction looks ahead."""
    until: float
    """Day until which what was predicted must not have happened: that of asking, or an earlier one asked about."""

    def day(self, on: date, place: str) -> float:
        """Days since infusion.

        Raises:
            InputError: They lie more than a century apart.
        """
        days = (on - self.infusion).days
        if abs(days) > LONGEST_DAYS:
            raise InputError(place, "must lie within a century of the infusion")
        return float(days)

    def span(self, text: str | None, place: str) -> Span:
        """Days of a date, which may be a month or a year; all days where there is none.

        Raises:
            InputError: It is no date, or one of another age.
        """
        days = days_of(text, place)
        return Span(-inf, inf) if days is None else Span(self.day(days[0], place), self.day(days[1], place))


def moment_of(text: str | None, place: str) -> Moment | None:
    """A FHIR date, dateTime or instant; None where it is absent or not to the day.

    Raises:
        InputError: It is no date, or one of another age.
    """
    if text is None or _MONTH.fullmatch(text):
        return None
    found = _DAY.fullmatch(text)
    if found is None:
        _no_date(place)
    try:
        day = date.fromisoformat(found[1])
        instant = datetime.fromisoformat(_LEAP.sub("59", text)) if found[2] else datetime.combine(day, time(12))
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except ValueError:
        _no_date(place)
    return Moment(day, instant, bool(found[2]))


def day_of(text: str | None, place: str) -> date | None:
    """The calendar day of a FHIR date or dateTime, in its own time zone; None where it is absent or not to the day.

    Raises:
        InputError: It is no date, or one of another age.
    """
    found = moment_of(text, place)
    return None if found is None else found.day


def days_of(text: str | None, place: str) -> tuple[date, date] | None:
    """First and last day of a FHIR date; None where it is absent.

    Raises:
        InputError: It is no date, or one of another age.
    """
    if text is None:
        return None
    inexact = _MONTH.fullmatch(text)
    if inexact is None:
        day = day_of(text, place) or _no_date(place)
        return day, day
    year, first, last = int(inexact[1]), int(inexact[2] or 1), int(inexact[2] or 12)
    return date(year, first, 1), date(year, last, monthrange(year, last)[1])


def not_ahead(day: date, place: str) -> date:
    """A day of asking.

    Raises:
        InputError: It lies ahead by more than the day that time zones may differ by.
    """
    if day > datetime.now(UTC).date() + timedelta(days=1):
        raise InputError(place, "must not lie in the future")
    return day


def _no_date(place: str) -> NoReturn:
    raise InputError(place, "must be a date of FHIR from 1900 on, as 2026-05-17 or 2026-05-17T08:30:00+02:00")
