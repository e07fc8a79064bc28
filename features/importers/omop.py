"""`sequela import omop`: patients of an OMOP common data model, version 5.4, become a cohort folder.

Conventions, beside those of `features.importers.records`
- The infusion is a procedure or a drug; patients are followed by the observation period that holds it, and those
  without such a period are left out and counted.
- A death counts when it is in that period, or at most `death_within_days` after its end; later ones are not observed.
- Age is in years of 365.25 days at infusion; births without day or month are taken in the middle of the year or month.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
Concepts = tuple[Annotated[int, Field(ge=1)], ...]


class ConceptSet(Frozen):
    """Concepts that mean one thing, by the domain in which they are recorded."""

    conditions: Concepts = ()
    drugs: Concepts = ()
    procedures: Concepts = ()
    descendants: bool = False
    """Whether concepts below them count as well (needs concept_ancestor)."""

    @model_validator(mode="after")
    def _some(self) -> ConceptSet:
        if not (self.conditions or self.drugs or self.procedures):
            msg = "list concept ids under conditions, drugs or procedures"
            raise ValueError(msg)
        return self

    @property
    def by_domain(self) -> dict[str, Concepts]:
        """The lists that are not empty."""
        lists = {"conditions": self.conditions, "drugs": self.drugs, "procedures": self.procedures}
        return {domain: concepts for domain, concepts in lists.items() if concepts}


class OmopVariable(Variable):
    """A numeric variable of the measurement table."""

    concepts: Concepts = ()
    """measurement_concept_id; without them those of the LOINC code."""

    @model_validator(mode="after")
    def _found_somehow(self) -> OmopVariable:
        if self.kind != "numeric":
            msg = "measurements are numeric"
            raise ValueError(msg)
        if not self.concepts and self.loinc is None:
            msg = "list concepts (measurement_concept_id), or give loinc"
            raise ValueError(msg)
        return self

    def variable(self) -> Variable:
        """The variable as a cohort declares it."""
        return Variable.model_validate(self.model_dump(exclude={"concepts"}))


class OmopSpec(RecordsSpec):
    """What of a common data model makes a cohort."""

    infusion: ConceptSet
    """What day 0 is."""
    variables: dict[str, OmopVariable] = Field(default_factory=dict)
    events: dict[str, ConceptSet] = Field(default_factory=dict)
    age: str | None = "age"
    """Name of the baseline variable for the age at infusion; null: not imported."""
    sex: str | None = "sex"
    """Name of the baseline variable for the sex; null: not imported."""
    death_within_days: float = Field(default=0, ge=0)
    """A death so many days after the end of observation still counts, and ends follow-up."""

    @model_validator(mode="after")
    def _sound(self) -> OmopSpec:
        baseline = [name for name in (self.age, self.sex) if name is not None]
        for name in baseline:
            if name in self.variables or baseline.count(name) > 1:
                msg = f"{name} is taken; give age or sex another name, or null"
                raise ValueError(msg)
        check_names(dict.fromkeys(baseline, _AGE) | dict(self.variables), self.events, self.endpoints)
        return self


_AGE = Variable(kind="numeric", unit="a", range=(0, 120))
_SEX = Variable(kind="categorical", levels=("female", "male"))


def import_omop(spec: Path, source: Path, folder: Path, progress: Progress | None = None) -> None:
    """Write the cohort folder of the patients with an infusion.

    Args:
        spec: The specification (`OmopSpec`, as YAML).
        source: A folder with tables of the model as .csv, .csv.gz or .parquet (or folders of such parts), or a DuckDB
            file. Wanted are person, observation_period, death, those with the concepts of the specification, and
            concept where LOINC codes are looked up or units are concepts.
        folder: Where; must be absent or empty.
        progress: Called with the queries done and those in all.

    Raises:
        SequelaError: The specification breaks a rule, a table or column is missing, a value is not of its type, or a
            unit does not convert.
    """
    from features.importers.duck import open_tables  # only this kind of source needs DuckDB

    if not source.exists():
        msg = f"{source}: no such file or folder; check the path"
        raise SequelaError(msg)
    rules = read_document(spec, OmopSpec)
    with open_tables(source) as tables:
        records = _records(rules, tables, progress or (lambda done, of: None))
    variables = {name: variable.variable() for name, variable in rules.variables.items()}
    variables |= {name: declared for name, declared in ((rules.age, _AGE), (rules.sex, _SEX)) if name is not None}
    write_records(folder, rules, variables, records, source.name)


def _records(rules: OmopSpec, tables: Tables, progress: Progress) -> Records:
    total = 2 + len(rules.events) + len(rules.variables)
    infused, notes = _infused(rules, tables)
    progress(1, total)
    patients = _patients(rules, tables, infused)
    progress(2, total)
    day_0 = infused["date"]
    events, measured = [], []
    for done, (name, concepts) in enumerate(rules.events.items(), start=3):
        events.append(_since(_dates(tables, concepts), day_0).assign(event=name))
        progress(done, total)
    for done, (name, variable) in enumerate(rules.variables.items(), start=3 + len(events)):
        measured.append(_measured(rules, tables, name, variable, day_0))
        progress(done, total)
    return Records(
        patients,
        pd.concat(events) if events else pd.DataFrame({"person": [], "day": [], "event": []}),
        pd.concat(measured, ignore_index=True)
        if measured
        else pd.DataFrame({"person": [], "day": [], "variable": [], "value": [], "unit": []}),
        notes,
    )


def _dates(tables: Tables, concepts: ConceptSet) -> pd.DataFrame:
    """person, date: days on which a person has one of the concepts, in whatever domain."""
    from features.importers.omop_sql import occurrences, with_descendants

    parts = []
    for domain, listed in concepts.by_domain.items():
        ids = with_descendants(tables, listed) if concepts.descendants else list(listed)
        parts.append(occurrences(tables, domain, ids))
    return pd.concat(parts).drop_duplicates().reset_index(drop=True)


def _infused(rules: OmopSpec, tables: Tables) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """By person: date of the infusion, and the last date of the observation period that holds it."""
    from features.importers.omop_sql import observation_periods

    dates = _dates(tables, rules.infusion).groupby("person")["date"]
    first = (dates.min() if rules.infusions == "first" else dates.max()).rename("date").reset_index()
    periods = first.merge(observation_periods(tables, _ids(first["person"])), on="person")
    within = (periods["start"] <= periods["date"]) & (periods["date"] <= periods["stop"])
    held = periods[within].groupby("person").agg(date=("date", "first"), stop=("stop", "max"))
    outside = len(first) - len(held)
    note = f"{outside} patients have no observation period at the infusion and are left out."
    return held, ((note,) if outside else ())


def _ids(values: Sequence[int] | pd.Series | pd.Index) -> list[int]:
    return [int(value) for value in values]


def _since(dated: pd.DataFrame, day_0: pd.Series) -> pd.DataFrame:
    """The rows of patients with an infusion, with ``day`` since it in place of ``date``."""
    dated = dated[dated["person"].isin(day_0.index)].reset_index(drop=True)
    days = (pd.to_datetime(dated["date"]) - pd.to_datetime(dated["person"].map(day_0))).dt.days
    return dated.drop(columns="date").assign(day=days.astype(float))


def _patients(rules: OmopSpec, tables: Tables, infused: pd.DataFrame) -> pd.DataFrame:
    from features.importers.omop_sql import FEMALE, MALE, deaths, persons

    day_0, ids = infused["date"], _ids(infused.index)
    end = (pd.to_datetime(infused["stop"]) - pd.to_datetime(day_0)).dt.days.astype(float)
    died = _since(deaths(tables, ids), day_0).set_index("person")["day"].reindex(infused.index)
    impossible = died < 0
    if impossible.any():
        msg = f"death: {int(impossible.sum())} patients died before their infusion; correct death or the infusion"
        raise SequelaError(msg)
    patients = pd.DataFrame(
        {
            "person": ids,
            "end_day": end.to_numpy(),
            "death_day": died.where(died <= end + rules.death_within_days).to_numpy(dtype=float),
        }
    )
    about = persons(tables, ids).set_index("person").reindex(ids)
    if rules.age is not None:
        born = pd.to_datetime(about["born"])
        years = (pd.to_datetime(day_0) - born).dt.days / DAYS_PER_UNIT["years"]
        patients[rules.age] = np.round(years.to_numpy(dtype=float), 1)
    if rules.sex is not None:
        patients[rules.sex] = about["gender"].map({FEMALE: "female", MALE: "male"}).to_numpy(dtype=object)
    return patients


def _measured(rules: OmopSpec, tables: Tables, name: str, variable: OmopVariable, day_0: pd.Series) -> pd.DataFrame:
    from features.importers.omop_sql import loinc_concepts, measurements

    concepts = list(variable.concepts) or loinc_concepts(tables, variable.loinc or "")
    rows = _since(measurements(tables, concepts, _ids(day_0.index)), day_0).assign(variable=name)
    return rows if rules.history_days is None else rows[rows["day"] >= -rules.history_days]
