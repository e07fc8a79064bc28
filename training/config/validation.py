"""How a model is validated, and which of its settings are chosen inside each training fold."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from features.schema import Frozen


class ValidationConfig(Frozen):
    """How out-of-fold predictions are made; patients are kept whole."""

    scheme: Literal["cross_validation", "site", "temporal"] = "cross_validation"
    """At random; each centre held out once; or later patients predicted from earlier ones."""
    column: str | None = None
    """Column of patients.csv that tells the centre (absent: ``site``), or the time, e.g. the year of infusion."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Parts that are tested; with ``site`` there are as many as centres."""
    repeats: Annotated[int, Field(ge=1)] = 1
    """Of a split at random."""
    bootstrap: Annotated[int, Field(ge=20)] = 200
    """Bootstrap resamples of patients for the intervals."""
    importance: Annotated[int, Field(ge=0)] = 0
    """Permutations of each source of information, to tell what predictions need; 0: not asked."""
    permutations: Annotated[int, Field(ge=0)] = 0
    """Exchanges of outcomes between patients, to test whether the whole run finds anything; each costs a whole
    cross-validation; 0: not asked."""

    @model_validator(mode="after")
    def _split_is_complete(self) -> Self:
        if self.scheme != "cross_validation" and self.repeats > 1:
            msg = f"repeats: {self.repeats} of a {self.scheme} split would all be the same; use 1"
            raise ValueError(msg)
        if self.scheme == "temporal" and self.column is None:
            msg = "column: a temporal split needs to know the column that holds the time, e.g. the year of infusion"
            raise ValueError(msg)
        if self.scheme == "cross_validation" and self.column is not None:
            msg = f"column: {self.column} has no meaning for cross_validation; set scheme to site or temporal"
            raise ValueError(msg)
        return self


class SearchRange(Frozen):
    """Numbers between two ends; whole ones where both ends are."""

    low: int | float
    """Lower end."""
    high: int | float
    """Upper end."""
    log: bool = False
    """Whether to search evenly on the logarithmic scale."""

    @model_validator(mode="after")
    def _ends_are_ordered(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            msg = f"low: {self.low} must lie below high: {self.high}, and above 0 on the logarithmic scale"
            raise ValueError(msg)
        return self


class TuningConfig(Frozen):
    """Settings of the model that are chosen in each training fold, by inner cross-validation."""

    space: Annotated[
        dict[str, SearchRange | Annotated[tuple[bool | int | float | str | None, ...], Field(min_length=1)]],
        Field(min_length=1),
    ]
    """By dotted key below `model`: ``{low: 0.001, high: 0.1, log: true}``, or a list of choices."""
    trials: Annotated[int, Field(ge=1)] = 20
    """Proposals beside the model as configured; each is fitted once for every inner fold."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Inner folds."""
