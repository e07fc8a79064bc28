"""`sequela import meds`: subjects of a MEDS data set become a cohort folder.

MEDS, the Medical Event Data Standard (versions 0.3 and 0.4, medical-event-data-standard.github.io), is one row a
measurement: subject_id, time (null where static), code, and numeric_value, which the later schema lets be absent; in
Parquet files below ``data/``, with ``metadata/codes.parquet`` (code, description, parent_codes).

Conventions, beside those of `features.importers.records`
- MEDS has no observation periods: follow-up ends with a subject's last dated row, or with death.
- A code that is listed stands for itself, and for every code that names it among its parent_codes.
- MEDS has no column of units: they are told code by code. Values are float32 and are read as the shortest decimal.
- A categorical variable is the last static or dated code up to day 0. Rows without a time are otherwise left out.
- Age is in years of 365.25 days at infusion, from MEDS_BIRTH. text_value is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from features.documents import read_document
from features.errors import SequelaError
from features.importers.records import Records, RecordsSpec, check_names, write_records
from features.importers.spec import DAYS_PER_UNIT
from features.schema import Frozen, Variable

if TYPE_CHECKING:
    from features.importers.duck import Tables

Progress = Callable[[int, int], None]
Codes = Annotated[tuple[str, ...], Field(min_length=1)]
_AGE = Variable(kind="numeric", unit="a", range=(0, 120))
_EMPTY: Mapping[str, list[float]] = {"person": [], "day": []}


class NoRowsError(SequelaError):
    """Codes of a specification that stand nowhere in the data."""


class CodeSet(Frozen):
    """Codes that mean one thing."""

    codes: Codes


class MedsVariable(Variable):
    """A variable told by codes."""

    codes: dict[str, str] | Codes
    """Numeric: the codes, or each with the UCUM unit of its values. Otherwise: each code with the level it means."""

    @model_validator(mode="after")
    def _meanings(self) -> MedsVariable:
        if not self.codes:
            msg = "list at least one code"
            raise ValueError(msg)
        if self.kind != "numeric" and not isinstance(self.codes, dict):
            msg = f"codes of a {self.kind} variable say their levels, such as {{GENDER//F: female}}"
            raise ValueError(msg)
        if self.kind != "numeric" and self.levels is not None:
            unknown = set(self.meanings.values()) - set(self.levels)
            if unknown:
                msg = f"{min(map(str, unknown))} is not among the levels {', '.join(self.levels)}"
                raise ValueError(msg)
        return self

    @property
    def meanings(self) -> dict[str, str | None]:
        """What each code says: a unit, a level, or nothing."""
        return dict(self.codes) if isinstance(self.codes, dict) else dict.fromkeys(self.codes)

    def variable(self) -> Variable:
        """The variable as a cohort declares it."""
        return Variable.model_validate(self.model_dump(exclude={"codes"}))


class MedsSpec(RecordsSpec):
    """What of a MEDS data set makes a cohort."""

    infusion: CodeSet
    """What day 0 is."""
    variables: dict[str, MedsVariable] = Field(default_factory=dict)
    events: dict[str, CodeSet] = Field(default_factory=dict)
    age: str | None = "age"
    """Name of the baseline variable for the age at infusion; null: not imported."""
    birth: Codes = ("MEDS_BIRTH",)
    death: Codes = ("MEDS_DEATH",)

    @model_validator(mode="after")
    def _sound(self) -> MedsSpec:
        if self.age is not None and self.age in self.variables:
            msg = f"{self.age} is taken; give age another name, or null"
            raise ValueError(msg)
        check_names(({} if self.age is None else {self.age: _AGE}) | dict(self.variables), self.events, self.endpoints)
        return self


def import_meds(spec: Path, source: Path, folder: Path, progress: Progress | None = None) -> None:
    """Write the cohort folder of the subjects with an infusion.

    Args:
        spec: The specification (`MedsSpec`, as YAML).
        source: The folder of the data set.
        folder: Where; must be absent or empty.
        progress: Called with the queries done and those in all.

    Raises:
        SequelaError: The specification breaks a rule, a file or column is missing or damaged, a code stands nowhere, or
            a unit does not convert.
    """
    from features.importers.duck import open_tables, read_files  # only this kind of source needs DuckDB

    if not source.is_dir():
        msg = f"{source}: no such folder; a MEDS data set is a folder with data/ in it"
        raise SequelaError(msg)
    rules = read_document(spec, MedsSpec)
    with open_tables(source) as tables:
        codes = source / "metadata" / "codes.parquet"
        if codes.is_file():
            tables.sources["codes"] = read_files([codes], "codes.parquet")
        numeric = any(variable.kind == "numeric" for variable in rules.variables.values())
        tables.require("data", ("subject_id", "time", "code", *(["numeric_value"] if numeric else [])))
        records = _records(rules, tables, progress or (lambda done, of: None))
    variables = {name: variable.variable() for name, variable in rules.variables.items()}
    variables |= {} if rules.age is None else {rules.age: _AGE}
    write_records(folder, rules, variables, records, source.name)


def _records(rules: MedsSpec, tables: Tables, progress: Progress) -> Records:
    total = 2 + len(rules.events) + len(rules.variables)
    dates = _rows(tables, dict.fromkeys(rules.infusion.codes), "infusion").dropna(subset=["date"])
    by_person = dates.groupby("person")["date"]
    day_0 = by_person.min() if rules.infusions == "first" else by_person.max()
    progress(1, total)
    patients = _patients(rules, tables, day_0)
    progress(2, total)
    events: list[pd.DataFrame] = []
    measured: list[pd.DataFrame] = []
    for done, (name, codes) in enumerate(rules.events.items(), start=3):
        rows = _since(_rows(tables, dict.fromkeys(codes.codes), f"events.{name}"), day_0).dropna(subset=["day"])
        events.append(rows[["person", "day"]].assign(event=name))
        progress(done, total)
    for done, (name, variable) in enumerate(rules.variables.items(), start=3 + len(events)):
        rows = _since(_rows(tables, variable.meanings, f"variables.{name}"), day_0)
        if variable.kind == "numeric":
            measured.append(_measured(rules, rows).assign(variable=name))
        else:
            patients[name] = _last_level(rows, patients["person"])
        progress(done, total)
    nothing = pd.DataFrame(_EMPTY)
    return Records(
        patients,
        pd.concat(events) if events else nothing.assign(event=[]),
        pd.concat(measured, ignore_index=True) if measured else nothing.assign(variable=[], value=[], unit=[]),
        ("Follow-up ends with the last dated row of a subject, or with death.",),
    )


def _rows(tables: Tables, meanings: Mapping[str, str | None], key: str) -> pd.DataFrame:
    """person, date (NaT where static), value, meaning: the rows of codes, in the order of their time.

    Raises:
        NoRowsError: None of the codes stands in the data.
    """
    listed = _with_children(tables, meanings)
    source = tables.require("data", ())
    value = "numeric_value" if "numeric_value" in tables.columns("data") else "NULL"
    rows = tables.query(
        source,
        f"""SELECT CAST(subject_id AS BIGINT) AS person, CAST(time AS DATE) AS date, code,
        CAST(CAST({value} AS VARCHAR) AS DOUBLE) AS value FROM {source.sql}
        WHERE code IN (SELECT unnest(CAST(? AS VARCHAR[]))) ORDER BY subject_id, time""",  # noqa: S608
        (*source.parameters, list(listed)),
    )
    if rows.empty:
        shown = ", ".join(list(meanings)[:3])
        msg = f"{tables.place.name}: no row has a code of {key} ({shown}); correct the codes, or leave {key} out"
        raise NoRowsError(msg)
    return rows.assign(meaning=rows["code"].map(listed)).drop(columns="code")


def _with_children(tables: Tables, meanings: Mapping[str, str | None]) -> dict[str, str | None]:
    """The codes, and those that name them among their parents, with what they mean."""
    if not tables.has("codes") or "parent_codes" not in tables.columns("codes"):
        return dict(meanings)
    source = tables.require("codes", ("code", "parent_codes"))
    below = tables.query(
        source,
        f"""SELECT code, parent FROM (SELECT code, unnest(CAST(parent_codes AS VARCHAR[])) AS parent FROM {source.sql})
        WHERE parent IN (SELECT unnest(CAST(? AS VARCHAR[]))) ORDER BY 1, 2""",  # noqa: S608
        (*source.parameters, list(meanings)),
    )
    return {code: meanings[parent] for code, parent in zip(below["code"], below["parent"], strict=True)} | dict(
        meanings
    )


def _since(rows: pd.DataFrame, day_0: pd.Series) -> pd.DataFrame:
    """The rows of subjects with an infusion, with ``day`` since it (NaN where static) in place of ``date``."""
    rows = rows[rows["person"].isin(day_0.index)].reset_index(drop=True)
    days = (pd.to_datetime(rows["date"]) - pd.to_datetime(rows["person"].map(day_0))).dt.days
    return rows.drop(columns="date").assign(day=days.astype(float))


def _patients(rules: MedsSpec, tables: Tables, day_0: pd.Series) -> pd.DataFrame:
    source = tables.require("data", ())
    ids = [int(person) for person in day_0.index]
    last = tables.query(
        source,
        f"""SELECT CAST(subject_id AS BIGINT) AS person, max(CAST(time AS DATE)) AS date FROM {source.sql}
        WHERE CAST(subject_id AS BIGINT) IN (SELECT unnest(CAST(? AS BIGINT[]))) AND time IS NOT NULL
        GROUP BY 1 ORDER BY 1""",  # noqa: S608
        (*source.parameters, ids),
    )
    end = _since(last, day_0).set_index("person")["day"].reindex(ids)
    died = _first(rules.death, tables, day_0).reindex(ids)
    if (died < 0).any():
        msg = f"death: {int((died < 0).sum())} subjects died before their infusion; correct infusion or death"
        raise SequelaError(msg)
    patients = pd.DataFrame({"person": ids, "end_day": end.to_numpy(), "death_day": died.to_numpy(dtype=float)})
    if rules.age is not None:
        born = _first(rules.birth, tables, day_0).reindex(ids)
        patients[rules.age] = np.round(-born.to_numpy(dtype=float) / DAYS_PER_UNIT["years"], 1)
    return patients


def _first(codes: Codes, tables: Tables, day_0: pd.Series) -> pd.Series:
    """Day of the first of these codes by subject; nobody may have one."""
    try:
        rows = _rows(tables, dict.fromkeys(codes), "-")
    except NoRowsError:
        return pd.Series(dtype=float)
    return _since(rows, day_0).dropna(subset=["day"]).groupby("person")["day"].min()


def _measured(rules: MedsSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """person, day, value, unit of dated numeric rows."""
    kept = rows.dropna(subset=["day", "value"]).rename(columns={"meaning": "unit"})
    return kept if rules.history_days is None else kept[kept["day"] >= -rules.history_days]


def _last_level(rows: pd.DataFrame, persons: pd.Series) -> np.ndarray:
    """(patients,): the level of the last code by day 0, static ones being the earliest; None where there is none."""
    known = rows[~(rows["day"] > 0)].assign(day=lambda table: table["day"].fillna(-np.inf))
    last = known.sort_values(["person", "day"], kind="stable").groupby("person")["meaning"].last()
    return last.reindex(persons).astype(object).where(lambda levels: levels.notna(), None).to_numpy(dtype=object)
