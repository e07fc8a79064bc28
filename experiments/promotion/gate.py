"""The gate: what a model must show before it may serve, as YAML."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from experiments.config import name_may_be_absent
from experiments.home import CONFIGS
from features.documents import load_mapping, validate
from features.schema import Frozen
from training.artifact.folder import EXAMPLE_TOLERANCE
from training.evaluation.intervals import Interval
from training.evaluation.scores import OVERALL

DEFAULT_GATE = CONFIGS / "gate" / "default.yaml"
Accuracy = Literal["ibs", "ipa", "c", "brier", "auc"]
Calibration = Literal[
    "o_e", "ici", "e50", "e90", "emax", "calibration_intercept", "calibration_slope", "aj_calibration"
]
Bound = Literal["point", "low", "high", "overlaps", "within"]
Days = Annotated[tuple[float, ...], Field(min_length=1)]
WORDS: dict[Bound, str] = {
    "point": "estimate",
    "low": "lower bound",
    "high": "upper bound",
    "overlaps": "some of the interval",
    "within": "all of the interval",
}
"""Of the 95 % interval."""


class Limit(Frozen):
    """What a value with its interval must keep to: one of `at_least`, `at_most`, `between`."""

    at_least: float | None = None
    at_most: float | None = None
    between: tuple[float, float] | None = None
    bound: Bound = "point"
    """What is held against the limit: the estimate, or the lower or upper bound of its interval. With `between` also
    ``overlaps`` (it is not shown to lie outside) and ``within`` (it is shown to lie inside)."""

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        given = [name for name in ("at_least", "at_most", "between") if getattr(self, name) is not None]
        if len(given) != 1:
            msg = f"give one of at_least, at_most and between; {len(given)} are given"
            raise ValueError(msg)
        if self.between is not None and self.between[0] > self.between[1]:
            msg = "between is [low, high] with low ≤ high"
            raise ValueError(msg)
        if (self.bound in ("overlaps", "within")) != (self.between is not None and self.bound != "point"):
            msg = f"bound: {self.bound} does not go with {given[0]}; with between goes point, overlaps or within"
            raise ValueError(msg)
        return self

    def keeps(self, value: Interval) -> bool | None:
        """Whether a value keeps to the limit; None where the bound that is asked for is not known."""
        low, high = self.range
        if self.bound in ("point", "low", "high"):
            number = getattr(value, self.bound)
            return low <= number <= high if isfinite(number) else None
        if not (isfinite(value.low) and isfinite(value.high)):
            return None
        if self.bound == "overlaps":
            return value.low <= high and value.high >= low
        return low <= value.low and value.high <= high

    @property
    def range(self) -> tuple[float, float]:
        """From where to where a value may lie."""
        if self.between is not None:
            return self.between
        low = -float("inf") if self.at_least is None else self.at_least
        return low, float("inf") if self.at_most is None else self.at_most

    @property
    def text(self) -> str:
        """The rule in words."""
        if self.between is not None:
            low, high = self.between
            return f"{WORDS[self.bound]} in {low:g} to {high:g}"
        limit = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{WORDS[self.bound]} {limit}"


class Threshold(Limit):
    """A limit on a score of the event of interest."""

    metric: Accuracy | Calibration
    horizons_days: Literal["all"] | Days | None = None
    """Horizons looked at. Absent: all, and of ibs, ipa, c and aj_calibration the value over all times."""
    landmark_days: Days | None = None
    """Landmarks looked at; absent: every one."""

    @model_validator(mode="after")
    def _has_horizons(self) -> Self:
        if self.horizons_days is not None and self.metric in OVERALL and self.metric != "ipa":
            msg = f"{self.metric} is taken over all times; remove horizons_days"
            raise ValueError(msg)
        return self

    @property
    def is_overall(self) -> bool:
        """Whether the value over all times is meant."""
        return self.metric in OVERALL and self.horizons_days is None


class AccuracyThreshold(Threshold):
    """A limit on accuracy or discrimination."""

    metric: Accuracy


class CalibrationThreshold(Threshold):
    """A limit on calibration."""

    metric: Calibration


class SubgroupThreshold(Threshold):
    """A limit on accuracy, discrimination or calibration in the large: a curve of few patients says nothing."""

    metric: Accuracy | Literal["o_e"]


class Smallest(Frozen):
    """Groups with fewer are not judged, and that is said."""

    patients: Annotated[int, Field(ge=1)] = 50
    events: Annotated[int, Field(ge=1)] = 10
    """Of the event of interest, by the last horizon."""


class Subgroups(Frozen):
    """Limits that hold in every group of patients."""

    by: Annotated[dict[str, tuple[float, ...]], Field(min_length=1)]
    """Columns of the patients table: ``sex: []`` for its levels, ``age: [65]`` for < 65 and ≥ 65."""
    thresholds: Annotated[tuple[SubgroupThreshold, ...], Field(min_length=1)]
    smallest: Smallest = Smallest()

    @field_validator("by")
    @classmethod
    def _ascending(cls, by: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        for column, cuts in by.items():
            if list(cuts) != sorted(set(cuts)):
                msg = f"the cuts of {column} must ascend without repetition"
                raise ValueError(msg)
        return by


class ExampleRule(Frozen):
    """The artifact still answers its own example: the code that serves is the code that trained."""

    tolerance: Annotated[float, Field(gt=0, le=EXAMPLE_TOLERANCE)] = EXAMPLE_TOLERANCE
    """Largest difference of an incidence."""


class ChampionRule(Frozen):
    """No worse than the model that serves, by out-of-fold predictions of the same patients in the same splits.

    The difference is signed so that above 0 is better; it must be at least −margin.
    """

    metric: Literal["ibs", "ipa", "c"] = "ipa"
    margin: Annotated[float, Field(ge=0)] = 0.0
    """By how much the new model may be worse, in the units of the metric."""
    bound: Literal["point", "low", "high"] = "low"
    """``low``: shown to be no worse than that (non-inferiority); ``high``: not shown to be worse."""
    landmark_days: Days | None = None
    """Landmarks compared; absent: every one."""
    when_not_comparable: Literal["refuse", "pass"] = "refuse"
    """What to do where the champion was scored on other patients or splits."""


class LeakRule(Frozen):
    """Features that know the outcome; see `training.evaluation.leaks`."""

    suspects: Literal["refuse", "pass"] = "refuse"


class CohortRule(Frozen):
    """On whom the model was trained."""

    provenance: Annotated[tuple[Literal["real", "simulated"], ...], Field(min_length=1)] = ("real", "simulated")
    patients: Annotated[int, Field(ge=1)] = 1
    """At least so many."""
    events: Annotated[int, Field(ge=1)] = 1
    """At least so many of the event of interest, from the first landmark."""


class Gate(Frozen):
    """A gate; a part that is absent is not looked at."""

    model_config = ConfigDict(json_schema_extra=name_may_be_absent)

    name: str
    """By default the name of the file."""
    metrics: tuple[AccuracyThreshold, ...] = ()
    calibration: tuple[CalibrationThreshold, ...] = ()
    subgroups: Subgroups | None = None
    example: ExampleRule | None = None
    champion: ChampionRule | None = None
    leaks: LeakRule | None = None
    cohort: CohortRule | None = None
    resamples: Annotated[int, Field(ge=50)] = 200
    """Of the patients, for the intervals of subgroups and of the difference from the champion."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not (set(type(self).model_fields) - {"name", "resamples"}) & self.model_fields_set:
            msg = "a gate asks something; give metrics, calibration, subgroups, example, champion, leaks or cohort"
            raise ValueError(msg)
        return self


def load_gate(path: Path = DEFAULT_GATE) -> Gate:
    """Read a gate's YAML.

    Raises:
        SequelaError: The file cannot be read, or a key or value is wrong; names the key and the nearest valid one.
    """
    content = load_mapping(path)
    content.setdefault("name", path.stem)
    return validate(content, Gate, path.name)
