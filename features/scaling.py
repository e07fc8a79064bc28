"""`ColumnScaler`: selection, transformation, imputation and scale of columns, learnt from a training fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.baseline import Flags, named
from features.patients import FloatArray

SKEWED = 1.5
"""Sample skewness from which a positive column is taken in logarithms."""
INDICATOR_SHARE = 0.05
"""Columns missing in at least this share of rows, and observed in it, get a missing-value indicator."""
CLIP = 6.0
"""Standardised values are clipped to ± this: one mistyped laboratory value must not decide a prediction."""


@dataclass(frozen=True, slots=True)
class Column:
    """What was learnt about one column."""

    name: str
    logarithm: bool
    """Whether it enters as its natural logarithm (values ≤ 0 then count as missing)."""
    median: float
    """Of the transformed values; fills in missing ones."""
    mean: float
    sd: float
    indicator: bool
    low: float
    high: float
    """0.5 % and 99.5 % quantiles of the raw values."""


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What was learnt about columns, (columns,) each: all are standardised at once."""

    logarithm: NDArray[np.bool_]
    indicator: NDArray[np.bool_]
    median: FloatArray
    mean: FloatArray
    sd: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, kept: Sequence[Column]) -> _Learnt:
        def of_all(name: str) -> FloatArray:
            return np.array([getattr(column, name) for column in kept], dtype=np.float64)

        return cls(
            of_all("logarithm").astype(bool),
            of_all("indicator").astype(bool),
            of_all("median"),
            of_all("mean"),
            of_all("sd"),
            of_all("low"),
            of_all("high"),
        )

    def standardised(self, raw: FloatArray) -> FloatArray:
        values = raw.copy()
        logged = raw[:, self.logarithm]
        values[:, self.logarithm] = np.log(np.where(logged > 0, logged, np.nan))
        values = np.where(np.isfinite(values), values, self.median)
        return np.clip((values - self.mean) / self.sd, -CLIP, CLIP)


@dataclass(frozen=True, slots=True)
class ColumnScaler:
    """Columns by name in, standardised matrix out."""

    kept: tuple[Column, ...]
    _learnt: _Learnt = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_learnt", _Learnt.of(self.kept))

    @classmethod
    def empty(cls) -> ColumnScaler:
        """A scaler that keeps nothing."""
        return cls(())

    @classmethod
    def fit(cls, columns: Mapping[str, FloatArray], *, minimum_observed: float) -> ColumnScaler:
        """Keep columns that vary, are observed often enough, and do not repeat an earlier one."""
        kept: list[Column] = []
        seen: set[bytes] = set()
        indicated: set[bytes] = set()
        for name, raw in columns.items():
            observed = np.isfinite(raw)
            if observed.sum() < max(2.0, minimum_observed * len(raw)) or _constant(raw[observed]):
                continue
            column = _learn(name, raw, observed)
            image = (np.round(_standardise(column, raw), 9) + 0.0).tobytes()  # + 0.0: −0 and 0 are one value
            if image in seen:
                continue
            seen.add(image)
            indicator = (
                column.indicator and observed.tobytes() not in indicated
            )  # one indicator for what is missing together
            indicated.add(observed.tobytes())
            kept.append(replace(column, indicator=indicator))
        return cls(tuple(kept))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the matrix's columns: values first, then missing-value indicators."""
        return (*(c.name for c in self.kept), *(f"{c.name} missing" for c in self.kept if c.indicator))

    def values(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """The kept columns (rows, kept) as they came, NaN where missing."""
        n_rows = len(next(iter(columns.values())))
        return np.column_stack([columns[c.name] for c in self.kept]) if self.kept else np.zeros((n_rows, 0))

    def transform(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """The standardised matrix (rows, features)."""
        return self.matrix(self.values(columns))

    def matrix(self, values: FloatArray) -> FloatArray:
        """The standardised matrix (rows, features) of kept columns (rows, kept)."""
        learnt = self._learnt
        missing = (~np.isfinite(values[:, learnt.indicator])).astype(float)
        return np.concatenate([learnt.standardised(values), missing], axis=1)

    def report(self, values: FloatArray) -> tuple[Flags, Flags]:
        """For each row of kept columns (rows, kept), those that are missing, and those outside the training range."""
        names, learnt = [c.name for c in self.kept], self._learnt
        outside = (values < learnt.low) | (values > learnt.high)
        return named(~np.isfinite(values), names), named(outside, names)

    def state(self) -> list[dict[str, Any]]:
        """Plain JSON that `from_state` rebuilds the scaler from."""
        return [asdict(column) for column in self.kept]

    @classmethod
    def from_state(cls, state: list[dict[str, Any]]) -> ColumnScaler:
        """Rebuild what `state` described."""
        return cls(tuple(Column(**column) for column in state))


def _learn(name: str, raw: FloatArray, observed: NDArray[np.bool_]) -> Column:
    values = raw[observed]
    logarithm = bool(values.min() > 0 and _skewness(values) > SKEWED)
    values = np.log(values) if logarithm else values
    median = float(np.median(values))
    filled = np.full(len(raw), median)
    filled[observed] = values
    share = 1.0 - observed.mean()
    low, high = np.quantile(raw[observed], [0.005, 0.995])
    return Column(
        name,
        logarithm,
        median,
        float(filled.mean()),
        float(filled.std()) or 1.0,
        bool(INDICATOR_SHARE <= share <= 1 - INDICATOR_SHARE),
        float(low),
        float(high),
    )


def _constant(values: FloatArray) -> bool:
    """Whether values differ by no more than rounding, whatever their unit."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _skewness(values: FloatArray) -> float:
    deviation = values - values.mean()
    sd = deviation.std()
    return float((deviation**3).mean() / sd**3) if sd > 0 else 0.0


def _standardise(column: Column, raw: FloatArray) -> FloatArray:
    return _Learnt.of([column]).standardised(raw[:, None])[:, 0]
