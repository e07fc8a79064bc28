"""What a cohort folder and an endpoint may say: the pydantic models of their YAML files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from features.analytes import ANALYTES, nearest_analyte
from features.guidance import OPTIONS, nearest_option

MOST_SEARCHED = 6
"""Landmarks over which thresholds are searched: those who act alike are compared in every combination of them."""


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
    level_codes: dict[str, tuple[Annotated[str, Field(pattern=r"^\S+\|\S+$")], ...]] = Field(default_factory=dict)
    """Codes of each level in health records, as ``system|code``; an ICD-10 code stands for all that begin with it."""
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
        for level in self.level_codes:
            if self.kind == "numeric" or (self.levels is not None and level not in self.levels):
                msg = f"level_codes names {level[:64]!r}, which is not one of the levels"
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

    def counts(self, event: str, grade: float | None) -> bool:
        """Whether an event of this name and grade is one of these; without a grade only where none is asked for."""
        return event == self.name and (grade or 0) >= (self.min_grade or 0)


Risk = Annotated[float, Field(ge=0, lt=1)]


class Tier(Frozen):
    """Patients whose risk calls for the same attention."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    from_risk: Risk | tuple[Risk, Risk] = 0.0
    """Risk from which on a patient is in it; or the least and the most that a clinician would accept as such, in whole
    percents, between which each run sets it by net benefit."""
    options: tuple[str, ...] = ()
    """What published guidance offers beside the options of lower tiers, by keys of `features.guidance`."""

    @field_validator("from_risk")
    @classmethod
    def _range(cls, given: float | tuple[float, float]) -> float | tuple[float, float]:
        whole = isinstance(given, float) or all(abs(100 * risk - round(100 * risk)) < 1e-9 for risk in given)
        if not whole or not (isinstance(given, float) or 0 < given[0] < given[1]):
            msg = "a range is [least, most] in whole percents, as [0.05, 0.20], the least above 0 and below the most"
            raise ValueError(msg)
        return given

    @field_validator("options")
    @classmethod
    def _known_options(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for key in options:
            if key not in OPTIONS:
                msg = f"no option has the key {key[:64]!r}; {nearest_option(key)}"
                raise ValueError(msg)
        return options

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most of the risks from which on it may begin; alike where it is given."""
        return (self.from_risk, self.from_risk) if isinstance(self.from_risk, float) else self.from_risk

    @property
    def candidates(self) -> tuple[float, ...]:
        """Every whole percent of its range; none where the risk is given."""
        least, most = (round(100 * risk) for risk in self.bounds)
        return () if isinstance(self.from_risk, float) else tuple(k / 100 for k in range(least, most + 1))


class Decision(Frozen):
    """What is decided by the risk at one horizon. A run measures the net benefit at each threshold."""

    horizon_days: float
    """One of the endpoint's horizons."""
    tiers: Annotated[tuple[Tier, ...], Field(min_length=2)]
    """Ascending by `from_risk`, the first from 0; ranges do not meet."""

    @model_validator(mode="after")
    def _ascending(self) -> Decision:
        apart = all(below.bounds[1] < above.bounds[0] for below, above in pairwise(self.tiers))
        if self.tiers[0].from_risk != 0 or not apart:
            msg = "tiers must ascend by from_risk without repetition, the first from 0, and ranges must not meet"
            raise ValueError(msg)
        if len({tier.name for tier in self.tiers}) < len(self.tiers):
            msg = "tiers must have different names"
            raise ValueError(msg)
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The risks at which a tier above the lowest begins; of a range, the least."""
        return tuple(tier.bounds[0] for tier in self.tiers[1:])

    @property
    def settled(self) -> bool:
        """Whether every threshold is a number."""
        return not any(tier.candidates for tier in self.tiers)

    def settle(self, thresholds: Sequence[float]) -> Decision:
        """The same with these thresholds, of the tiers above the lowest."""
        above = (
            tier.model_copy(update={"from_risk": begins})
            for tier, begins in zip(self.tiers[1:], thresholds, strict=True)
        )
        return self.model_copy(update={"tiers": (self.tiers[0], *above)})

    def tier_of(self, risk: float) -> int:
        """Number of the tier of a risk at `horizon_days`, the lowest being 0."""
        return sum(threshold <= risk for threshold in self.thresholds)


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
    decision: Decision | None = None
    """What is decided by the risk of the event; absent: nothing is."""

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
        if self.decision is not None and self.decision.horizon_days not in self.horizons_days:
            known = ", ".join(f"{day:g}" for day in self.horizons_days)
            msg = f"decision.horizon_days must be one of horizons_days: {known}"
            raise ValueError(msg)
        if self.decision is not None and not self.decision.settled and len(self.landmark_days) > MOST_SEARCHED:
            msg = f"ranges of from_risk are searched over at most {MOST_SEARCHED} landmark_days; give numbers"
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
