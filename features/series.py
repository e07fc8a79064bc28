"""Many short series of measurements at once: sums, extremes, slopes, areas and times under a limit.

Between two days on which something was measured its course is taken as linear; before the first and after the last
value nothing is assumed. Several values on one day enter the course as their mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.patients import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Series:
    """Many series one after another: each is what is known of one variable in one row, by ascending day."""

    number: IntArray
    """(series,): how many values each has; it may be none."""
    day: FloatArray
    """(values,)."""
    value: FloatArray
    """(values,)."""
    of: IntArray
    """(values,): the series of each value, ascending."""
    some: IntArray
    """The series that have values."""
    first: IntArray
    """Position of the first value of each of `some`."""
    last: IntArray
    """Position of the last value of each of `some`."""

    @classmethod
    def build(cls, n_series: int, of: IntArray, day: FloatArray, value: FloatArray) -> Series:
        """From values in order, each with the series it belongs to."""
        number = np.bincount(of, minlength=n_series)
        some = np.flatnonzero(number)
        end = np.cumsum(number)[some]
        return cls(number, day, value, of, some, end - number[some], end - 1)

    def variable(self, place: int, n_rows: int) -> Series:
        """The series of one variable, one a row."""
        begin, end = np.searchsorted(self.of, [place * n_rows, (place + 1) * n_rows])
        return Series.build(n_rows, self.of[begin:end] - place * n_rows, self.day[begin:end], self.value[begin:end])

    def since_infusion(self) -> Series:
        """The values of day 0 and later."""
        kept = self.day >= 0
        return Series.build(len(self.number), self.of[kept], self.day[kept], self.value[kept])

    def filled(self, series: IntArray, found: FloatArray) -> FloatArray:
        """(series,): what was found for some of them, NaN for the others."""
        out = np.full(len(self.number), np.nan)
        out[series] = found
        return out

    def total(self, of_values: FloatArray) -> FloatArray:
        """(series,): sums over the values of each series."""
        return np.bincount(self.of, of_values, minlength=len(self.number)).astype(float, copy=False)

    def mean(self, of_values: FloatArray) -> FloatArray:
        """(series,): means over the values of each series; NaN for a series without values."""
        return self.filled(self.some, self.total(of_values)[self.some] / self.number[self.some])

    def extreme(self, ufunc: np.ufunc, of_values: FloatArray) -> FloatArray:
        """(series,): the smallest or largest over the values of each series; NaN for a series without values."""
        found: FloatArray = ufunc.reduceat(of_values, self.first) if len(self.first) else np.zeros(0)
        return self.filled(self.some, found)

    def total_between(self, of_segments: FloatArray) -> FloatArray:
        """(series,): sums over pairs of neighbouring values, given for all pairs, across the borders of series too."""
        of_segments[self.last[:-1]] = 0.0
        return np.bincount(self.of[:-1], of_segments, minlength=len(self.number)).astype(float, copy=False)


def by_day(series: Series) -> Series:
    """The course: one value a day, the mean of that day's values."""
    later = series.day[1:] != series.day[:-1]
    later[series.last[:-1]] = True
    if later.all():
        return series
    first = np.flatnonzero(np.concatenate([[True], later]))
    mean = np.add.reduceat(series.value, first) / np.diff(first, append=len(series.day))
    return Series.build(len(series.number), series.of[first], series.day[first], mean)


def slope(series: Series) -> FloatArray:
    """Least-squares slope, both axes centred so that no precision is lost far from day 0 or zero."""
    day = series.day - series.mean(series.day)[series.of]
    value = series.value - series.mean(series.value)[series.of]
    two_days = series.some[series.day[series.last] > series.day[series.first]]
    return series.filled(two_days, series.total(day * value)[two_days] / series.total(day * day)[two_days])


def cmax(series: Series) -> FloatArray:
    """The largest value."""
    return series.extreme(np.maximum, series.value)


def tmax(series: Series) -> FloatArray:
    """The day of the largest value, of equal ones the first."""
    largest = series.extreme(np.maximum, series.value)[series.of]
    return series.extreme(np.minimum, np.where(series.value == largest, series.day, np.inf))


def area(course: Series) -> FloatArray:
    """Area by the linear trapezoidal rule; NaN with values on fewer than two days."""
    height = 0.5 * course.value[1:] + 0.5 * course.value[:-1]
    return np.where(course.number < 2, np.nan, course.total_between(height * np.diff(course.day)))


def area_between(course: Series, begin: float, end: float) -> FloatArray:
    """The part of that area within [begin, end]; NaN with values on fewer than two days in it."""
    day, width = course.day[:-1], np.diff(course.day)
    left = np.clip((begin - day) / width, 0.0, 1.0)  # where, between its two values, a segment enters the window
    right = np.clip((end - day) / width, 0.0, 1.0)
    middle = 0.5 * (left + right)
    height = course.value[:-1] * (1.0 - middle) + course.value[1:] * middle
    within = course.total(((course.day >= begin) & (course.day <= end)).astype(float))
    return np.where(within < 2, np.nan, course.total_between(height * (right - left) * width))


def below(course: Series, sign: float, limit: float, landmark: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Days under the limit, and days since the last moment under it, of the course times `sign`."""
    value = sign * course.value
    low, high = np.minimum(value[1:], value[:-1]), np.maximum(value[1:], value[:-1])
    flat = (low < limit).astype(float)
    share = np.clip(np.divide(limit - low, high - low, out=flat, where=high > low), 0.0, 1.0)
    days = np.where(course.number < 2, np.nan, course.total_between(share * np.diff(course.day)))

    under = np.flatnonzero(value < limit)
    under = under[np.diff(course.of[under], append=-1) != 0]  # the last of each series
    moment = course.day[under]
    left = ~np.isin(under, course.last)  # the next value is not under the limit: the course crosses it on the way
    here, after = under[left], under[left] + 1
    share = (limit - value[here]) / (value[after] - value[here])
    moment[left] += share * (course.day[after] - course.day[here])
    return days, np.maximum(landmark - course.filled(course.of[under], moment), 0.0) + 0.0
