"""Which columns know the outcome: how well each one alone, or its being missing, tells who will meet an event.

What a patient is known to have at the landmark predicts what comes after it somewhat; it never tells it. A column that
tells it was written down afterwards. Three things are looked at, from each landmark and at each horizon:

- the AUC of the column among rows that have a value, and of whether there is one at all; for each cause, also in all of
  follow-up whenever it was met; and for any of them together, whose AUC gives away a column made from the time of
  follow-up;
- of columns with two values, and of being missing or not: the share of those with one value who meet a cause, which
  gives a column away that is filled in for a part of the events only, where the AUC stays low.

Suspected is what lies above a limit with the lower bound of its interval, not with its estimate: with few patients an
honest column may part them by luck, and then nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import changes, ratio
from training.evaluation.discrimination import known_status
from training.evaluation.intervals import LEVEL
from training.evaluation.ipcw import identified_days, scoring_weights

AUC_LIMIT = 0.9
"""CAR-HEMATOTOX, five laboratory values made to predict one toxicity, has 0.89 where it was derived (Rejeski et al.,
Blood 2021;138:2499); the lower bound of one honest column does not get there."""
SHARE_LIMIT = 0.85
"""Of those with one value, who meet the cause; looked at where at most half of all do."""
MOST_BASE = 0.5
ANY = "any event"
BISECTIONS = 40

FloatArray = NDArray[np.float64]
Name = tuple[str, bool]
"""Of a column, and whether its being missing is meant."""
Measure = Literal["auc", "share"]


@dataclass(frozen=True, slots=True)
class LeakSuspect:
    """A column that tells an outcome better than anything known at the landmark should."""

    column: str
    missingness: bool
    """Whether it is not the value that tells, but its being there."""
    event: str
    """The cause that is told, or `ANY`."""
    landmark_day: float
    horizon_days: float
    measure: Measure
    """AUC, or the share of rows with one of two values who meet the cause."""
    point: float
    low: float
    """Lower bound of the 95 % interval."""


def leak_suspects(
    columns: Mapping[str, FloatArray], outcomes: Outcomes, landmark_day: float, horizons_days: Sequence[float]
) -> list[LeakSuspect]:
    """The suspects among some columns, each in its strongest form, the strongest first.

    Args:
        columns: (rows,) by name, NaN where missing; of rows seen from one landmark.
        outcomes: What happened to the rows after it.
        landmark_day: The landmark.
        horizons_days: Horizons after which nobody is followed are left out.

    Raises:
        SequelaError: A row came under observation after its landmark.
    """
    last = identified_days(outcomes)
    times = np.array([horizon for horizon in horizons_days if horizon <= last])
    if not columns:
        return []
    markers = (_Pairs.of(columns), _Sorted.of(columns))
    found: dict[str, LeakSuspect] = {}
    for question in _questions(outcomes, landmark_day, times):
        for suspect in (one for part in markers for one in part.suspects(question)):
            known = found.get(suspect.column)
            if known is None or suspect.low > known.low:
                found[suspect.column] = suspect
    return sorted(found.values(), key=lambda suspect: -suspect.low)


@dataclass(frozen=True, slots=True)
class _At:
    """What is asked of the columns: an event at a horizon, and what each row (rows,) counts on either side."""

    event: str
    landmark_day: float
    horizon_days: float
    cases: FloatArray
    controls: FloatArray

    def suspect(self, name: Name, measure: Measure, point: float, low: float) -> LeakSuspect:
        """A column that tells this event."""
        return LeakSuspect(*name, self.event, self.landmark_day, self.horizon_days, measure, point, low)


def _questions(outcomes: Outcomes, landmark_day: float, times_days: FloatArray) -> Iterator[_At]:
    """Each cause, and any of them, at each time; and each cause in all of follow-up, as records have it: unweighted."""
    for index, cause in enumerate(outcomes.causes):
        is_cause = outcomes.cause == index + 1
        yield _At(cause, landmark_day, float(outcomes.duration_days.max()), is_cause * 1.0, ~is_cause * 1.0)
    weights = scoring_weights(outcomes, times_days)
    for j, horizon in enumerate(times_days):
        by_now, free = known_status(outcomes, weights, j)
        for index, cause in enumerate(outcomes.causes):
            is_cause = outcomes.cause == index + 1
            yield _At(cause, landmark_day, float(horizon), by_now * is_cause, by_now * ~is_cause + free)
        if len(outcomes.causes) > 1:
            yield _At(ANY, landmark_day, float(horizon), by_now, free)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Columns with two values, and whether a value is missing: cheap, by sums alone."""

    names: tuple[Name, ...]
    lower: FloatArray
    """(columns, rows): 1 where the row has the lower value."""
    upper: FloatArray

    @classmethod
    def of(cls, columns: Mapping[str, FloatArray]) -> _Pairs:
        lower: dict[Name, FloatArray] = {}
        upper: dict[Name, FloatArray] = {}
        for name, values in columns.items():
            observed = np.isfinite(values)
            if not observed.all():
                lower[name, True], upper[name, True] = observed.astype(float), (~observed).astype(float)
            if _two_valued(values[observed]):
                least = values[observed].min()
                lower[name, False] = (observed & (values == least)).astype(float)
                upper[name, False] = (observed & (values != least)).astype(float)
        n_rows = len(next(iter(columns.values()), ()))
        return cls(tuple(lower), *(np.array(list(side.values())).reshape(-1, n_rows) for side in (lower, upper)))

    def suspects(self, at: _At) -> Iterator[LeakSuspect]:
        """Those with an AUC, or a share of cases among either half, beyond its limit."""
        cases, controls = ([half @ side for half in (self.lower, self.upper)] for side in (at.cases, at.controls))
        pairs = (cases[0] + cases[1]) * (controls[0] + controls[1])
        auc = ratio(cases[1] * controls[0] + (cases[0] * controls[0] + cases[1] * controls[1]) / 2, pairs)
        yield from _beyond(at, self.names, auc, lambda k: (self.lower + self.upper)[k] > 0)
        known = at.cases + at.controls
        if at.event == ANY or at.cases.sum() > MOST_BASE * known.sum():
            return
        for half, met, unmet in zip((self.lower, self.upper), cases, controls, strict=True):
            share = ratio(met, met + unmet)
            low = share_lower_bound(share, ratio((met + unmet) ** 2, half @ known**2))
            for k in np.flatnonzero(low > SHARE_LIMIT):
                yield at.suspect(self.names[int(k)], "share", float(share[k]), float(low[k]))


def _two_valued(values: FloatArray) -> bool:
    """Whether there are two different values, no more."""
    return len(values) > 0 and bool((values != values[0]).any()) and bool(np.isin(values, _ends(values)).all())


def _ends(values: FloatArray) -> FloatArray:
    return np.array([values.min(), values.max()])


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Columns with more values, one after the other, each sorted once for all questions; missing values left out."""

    names: tuple[Name, ...]
    row: NDArray[np.int64]
    """(values,): whose value it is."""
    runs: NDArray[np.int64]
    """(runs,): where runs of equal values of one column begin."""
    first_run: NDArray[np.int64]
    """(columns,): the first run of each column."""
    first_value: NDArray[np.int64]
    """(columns + 1,): where the values of each column begin."""

    @classmethod
    def of(cls, columns: Mapping[str, FloatArray]) -> _Sorted:
        names, rows, begins = [], [], []
        for name, values in columns.items():
            observed = np.flatnonzero(np.isfinite(values))
            if len(observed) == 0 or _two_valued(values[observed]) or np.ptp(values[observed]) == 0:
                continue
            order = observed[np.argsort(values[observed], kind="stable")]
            ordered = values[order]
            names.append((name, False))
            rows.append(order)
            begins.append(changes(ordered))
        begin = np.concatenate([np.zeros(0, dtype=bool), *begins])
        first_value = np.concatenate([[0], np.cumsum([len(part) for part in rows])]).astype(np.int64)
        runs = np.flatnonzero(begin)
        row = np.concatenate([np.zeros(0, dtype=np.int64), *rows])
        return cls(tuple(names), row, runs, np.searchsorted(runs, first_value[:-1]), first_value)

    def suspects(self, at: _At) -> Iterator[LeakSuspect]:
        """Those with an AUC beyond its limit."""
        if not self.names:
            return
        case, control = (np.add.reduceat(side[self.row], self.runs) for side in (at.cases, at.controls))
        running = np.concatenate([[0.0], np.cumsum(control)])
        n_runs = np.diff(self.first_run, append=len(self.runs))
        below = running[:-1] - np.repeat(running[self.first_run], n_runs)
        ordered, cases, controls = (
            np.add.reduceat(part, self.first_run) for part in (case * (below + control / 2), case, control)
        )
        auc = ratio(ordered, cases * controls)
        yield from _beyond(at, self.names, auc, lambda k: self.row[self.first_value[k] : self.first_value[k + 1]])


def _beyond(
    at: _At, names: Sequence[Name], auc: FloatArray, observed: Callable[[int], NDArray[np.generic]]
) -> Iterator[LeakSuspect]:
    """Columns whose AUC, whichever way round, has its lower bound beyond the limit."""
    either_way = np.maximum(auc, 1 - auc)
    for k in np.flatnonzero(either_way > AUC_LIMIT):
        rows = observed(int(k))
        numbers = (_effective(side[rows]) for side in (at.cases, at.controls))
        low = auc_lower_bound(float(either_way[k]), *numbers)
        if low > AUC_LIMIT:
            yield at.suspect(names[int(k)], "auc", float(either_way[k]), low)


def _effective(weights: FloatArray) -> float:
    """Kish's effective number of rows, (Σw)² / Σw²."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def auc_lower_bound(auc: float, n_cases: float, n_controls: float, level: float = LEVEL) -> float:
    """Lower bound of the interval of an AUC, also of one that is 1.

    The A below the estimate Â with (Â − A)² = z² V(A), V being the variance of Hanley and McNeil with (m + n) / 2 − 1
    in place of both numbers: method 5 of Newcombe, Stat Med 2006;25:559–573. With weights, m and n are effective
    numbers.
    """
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    both = (n_cases + n_controls) / 2 - 1
    low, high = 0.0, auc
    for _ in range(BISECTIONS):
        a = (low + high) / 2
        variance = a * (1 - a) * (1 + both * ((1 - a) / (2 - a) + a / (1 + a))) / (n_cases * n_controls)
        low, high = (a, high) if (auc - a) ** 2 > z2 * variance else (low, a)
    return low


def share_lower_bound(share: FloatArray, n: FloatArray, level: float = LEVEL) -> FloatArray:
    """Lower bounds of the intervals of shares of n by Wilson's score (Wilson, J Am Stat Assoc 1927;22:209)."""
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2)))
    low: FloatArray = (share + z2 / (2 * n) - reach) / (1 + z2 / n)
    return low
