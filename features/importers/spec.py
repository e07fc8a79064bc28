"""The specification of `sequela import table`: what the columns of a time-to-event table mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from features.documents import read_document
from features.schema import Frozen, Variable

DAYS_PER_UNIT = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
"""Days in each unit of time; months and years of the Julian calendar, as in UCUM (``mo_j``, ``a_j``)."""
RESERVED = frozenset({"patient_id", "follow_up_days", "entry_day", "site"})
"""Columns of the patients table that are no variables."""


class TimeColumn(Frozen):
    """Where time stands, and its unit; every other time of the table is in the same unit."""

    column: str
    unit: Literal["days", "weeks", "months", "years"]

    @property
    def days(self) -> float:
        """Days in one unit."""
        return DAYS_PER_UNIT[self.unit]


class Column(Frozen):
    """A column by its name."""

    column: str


class EventColumn(Frozen):
    """Where the event codes stand, and what they mean; 0 is censored."""

    column: str
    causes: Annotated[dict[int, str], Field(min_length=1)]

    @field_validator("causes")
    @classmethod
    def _positive_and_distinct(cls, causes: dict[int, str]) -> dict[int, str]:
        if min(causes) < 1:
            msg = "codes of causes are 1, 2, …; 0 always means censored and is not listed"
            raise ValueError(msg)
        _check_names(list(causes.values()))
        return causes


class TableVariable(Variable):
    """A variable of the table; levels may be written as numbers."""

    rename: str | None = None
    """Name in the cohort, where it is not the column's."""

    @field_validator("levels", mode="before", json_schema_input_type=tuple[str | int | float, ...] | None)
    @classmethod
    def _levels_as_text(cls, levels: object) -> object:
        if not isinstance(levels, Sequence) or isinstance(levels, str):
            return levels
        if any(isinstance(level, bool) for level in levels):
            msg = "YAML reads yes, no, true and false as truth values; put such levels in quotes"
            raise ValueError(msg)
        return tuple(str(level) for level in levels)

    def variable(self) -> Variable:
        """The variable as a cohort declares it."""
        return Variable.model_validate(self.model_dump(exclude={"rename"}))


class TableSpec(Frozen):
    """What the columns of a table mean; a column that is not named is left out.

    A table has one row a patient, unless `start` or `visit` is given. With `start` a row is the interval
    (start, time] of a counting process; with `visit` a row is one visit of a patient, whose time and event stand
    in every row.
    """

    title: str
    citation: str = "not stated"
    licence: str = "not stated"
    provenance: Literal["real", "simulated"] = "real"
    notes: str = ""
    time: TimeColumn
    event: EventColumn | None = None
    event_times: dict[str, tuple[str, ...]] | None = None
    """Instead of `event`: by event, the columns with its times (recurrent events, wide); `time` ends follow-up."""
    patient_id: str | None = None
    entry: Column | None = None
    """Time at which observation began (left truncation)."""
    start: Column | None = None
    """Begin of a row's interval (start, time]."""
    visit: Column | None = None
    """Time of a row's visit."""
    missing: tuple[str, ...] = ()
    """Codes for a missing value beside the customary ones (empty, NA, NaN, N/A, null, a dot)."""
    variables: dict[str, TableVariable] = Field(default_factory=dict)
    horizons_days: tuple[float, ...] | None = None
    """Default: for each cause, the quartiles of its times rounded to two digits."""

    @field_validator("event_times")
    @classmethod
    def _named(cls, event_times: dict[str, tuple[str, ...]] | None) -> dict[str, tuple[str, ...]] | None:
        _check_names(list(event_times or {}))
        return event_times

    @model_validator(mode="after")
    def _sound(self) -> TableSpec:
        if (self.event is None) == (self.event_times is None):
            msg = "name exactly one of event (codes in one column) and event_times (columns of times)"
            raise ValueError(msg)
        if self.start and self.visit:
            msg = "name only one of start (intervals) and visit (visits)"
            raise ValueError(msg)
        if (self.start or self.visit) and (self.patient_id is None or self.event is None or self.entry is not None):
            msg = "start and visit need patient_id and event, and exclude entry"
            raise ValueError(msg)
        self._check_variables()
        return self

    def _check_variables(self) -> None:
        outcome = {*self.time_columns, self.event.column if self.event else None, self.patient_id}
        for column in self.variables:
            if column in outcome:
                msg = f"{column} is part of the outcome and cannot be a variable"
                raise ValueError(msg)
        names = [variable.rename or column for column, variable in self.variables.items()]
        for name in names:
            if name in RESERVED or names.count(name) > 1:
                msg = f"{name} is taken; give the variable another name with rename"
                raise ValueError(msg)

    @property
    def time_columns(self) -> tuple[str, ...]:
        """All columns that hold times."""
        single = [part.column for part in (self.time, self.entry, self.start, self.visit) if part is not None]
        wide = [column for columns in (self.event_times or {}).values() for column in columns]
        return (*single, *wide)

    @property
    def causes(self) -> tuple[str, ...]:
        """Slugs of the causes in order of their codes."""
        if self.event is not None:
            return tuple(slug(self.event.causes[code]) for code in sorted(self.event.causes))
        return tuple(slug(name) for name in self.event_times or {})


def slug(name: str) -> str:
    """A name in snake_case: ``death in remission (TRM)`` becomes ``death_in_remission_trm``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _check_names(names: list[str]) -> None:
    slugs = [slug(name) for name in names]
    if not all(slugs) or len(set(slugs)) != len(slugs):
        msg = "names of causes hold Latin letters or digits and differ from one another"
        raise ValueError(msg)


def load_spec(path: Path) -> TableSpec:
    """Read a specification.

    Raises:
        SequelaError: The file is absent, no YAML mapping, or breaks a rule; every broken rule is named.
    """
    return read_document(path, TableSpec)
