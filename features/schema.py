"""What a cohort folder and an endpoint may say: the pydantic models of their YAML files."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from features.analytes import ANALYTES, nearest_analyte


class Frozen(BaseModel):
    """Base of every configuration model: immutable, no unknown keys, docstrings become descriptions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class Variable(Frozen):
    """A clinical variable or laboratory analyte."""

    kind: Literal["numeric", "ordinal", "categorical"]
    unit: str = "1"
    """UCUM unit of numeric values, in which the models see them."""
    range: tuple[float, float] | None = None
    """Plausible range in `unit`, both ends included; values outside are impossible."""
    levels: tuple[str, ...] | None = None
    """Ordered levels of an ordinal variable, or all known levels of a categorical one."""
    loinc: str | None = None
    analyte: str | None = None
    """Which analyte of `features.analytes` a numeric variable is, where neither its LOINC code nor its name says so."""
    description: str = ""

    @field_validator("analyte")
    @classmethod
    def _known_analyte(cls, analyte: str | None) -> str | None:
        if analyte is not None and analyte not in ANALYTES:
            msg = f"no analyte has the name {analyte[:64]!r}; {nearest_analyte(analyte)}"
            raise ValueError(msg)
        return analyte

    @model_validator(mode="after")
    def _levels_and_range(self) -> Variable:
        if self.kind == "ordinal" and not self.levels:
            msg = "an ordinal variable lists its levels in order, lowest first"
            raise ValueError(msg)
        if self.kind == "numeric" and self.levels:
            msg = "a numeric variable has no levels"
            raise ValueError(msg)
        if self.kind != "numeric" and self.analyte is not None:
            msg = "only a numeric variable is an analyte"
            raise ValueError(msg)
        if self.levels and len(set(self.levels)) != len(self.levels):
            msg = "levels must differ from one another"
            raise ValueError(msg)
        if self.range is not None and not self.range[0] < self.range[1]:
            msg = "range is [low, high] with low < high"
            raise ValueError(msg)
        return self


class CellsCard(Frozen):
    """What the values in cells.h5ad or cells.zarr are."""

    values: Literal["counts", "intensities"] = "counts"
    """Raw counts (normalised by us), or marker intensities on an already transformed scale (used as they are)."""
    genes: Literal["genes", "markers"] = "genes"
    """Whether var names are human genes (symbols or Ensembl ids), or names of markers."""
    programs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Named gene programs of this study, beside the built-in ones."""


class CohortCard(Frozen):
    """cohort.yaml: what the study is, and what its columns mean."""

    format: Literal["sequela-cohort/1"] = "sequela-cohort/1"
    title: str
    citation: str
    licence: str
    provenance: Literal["real", "simulated"]
    """Simulated is called simulated wherever results are shown."""
    variables: dict[str, Variable]
    cells: CellsCard | None = None
    notes: str = ""


class EventRule(Frozen):
    """An event of events.csv, from a minimal grade on."""

    name: str
    min_grade: int | None = None


class Endpoint(Frozen):
    """Which event is predicted, what competes with it, from which landmark, to which horizons."""

    name: str
    event: EventRule
    competing: tuple[EventRule, ...] = ()
    landmark_days: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0,)
    """Days from which a model is trained to look ahead; only what was known by then enters. It answers from any day
    between the first and the last: a landmark super-model (van Houwelingen, Scand J Stat 2007;34:70)."""
    horizons_days: Annotated[tuple[float, ...], Field(min_length=1)]
    """Days after the landmark at which risks are reported."""

    @field_validator("landmark_days", "horizons_days")
    @classmethod
    def _ascending(cls, days: tuple[float, ...]) -> tuple[float, ...]:
        if list(days) != sorted(set(days)):
            msg = "days must ascend without repetition"
            raise ValueError(msg)
        return days

    @model_validator(mode="after")
    def _sound(self) -> Endpoint:
        if self.horizons_days[0] <= 0 or not all(map(math.isfinite, self.horizons_days)):
            msg = "horizons_days must be positive: they count from the landmark"
            raise ValueError(msg)
        names = self.causes
        if len(set(names)) != len(names):
            msg = f"the causes {', '.join(names)} must be different events"
            raise ValueError(msg)
        return self

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of causes 1, 2, …: the event of interest first, then those that compete."""
        return (self.event.name, *(rule.name for rule in self.competing))

    def predicts_from(self, day: float) -> bool:
        """Whether a model of this endpoint answers from a day."""
        return self.landmark_days[0] <= day <= self.landmark_days[-1]

    @property
    def landmark_range(self) -> str:
        """The days from which it answers, for people."""
        first, last = self.landmark_days[0], self.landmark_days[-1]
        return f"day {first:g}" if first == last else f"any day from {first:g} to {last:g}"
