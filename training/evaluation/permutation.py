"""Does a whole pipeline find anything? Its result is compared with those on outcomes exchanged between patients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.evaluation.intervals import LEVEL

Pipeline = Callable[[Outcomes], NDArray[np.float64]]
"""Outcomes of all rows to out-of-fold incidence (rows, causes, times): selection, tuning and fitting included."""
Statistic = Callable[[NDArray[np.float64], Outcomes], float]
"""Out-of-fold incidence and the outcomes it was fitted to, to a number that is larger for better predictions."""


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """Result of a permutation test."""

    observed: float
    """Statistic of the true outcomes."""
    permuted: NDArray[np.float64]
    """(permutations,): the statistic each time the outcomes were exchanged."""
    p: float
    """(1 + number of permuted ≥ observed) / (1 + permutations)."""
    p_low: float
    """Bounds of the p-value that endless permutations would give (Clopper & Pearson, Biometrika 1934;26:404)."""
    p_high: float


def permutation_test(
    pipeline: Pipeline,
    statistic: Statistic,
    outcomes: Outcomes,
    patient_id: Sequence[Any] | NDArray[Any],
    *,
    rng: np.random.Generator,
    n_permutations: int = 199,
    landmark_days: Sequence[float] | NDArray[np.float64] | None = None,
    strata: Sequence[Hashable] | NDArray[Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PermutationTest:
    """Test that nothing the pipeline sees of a patient tells about the outcome.

    Duration, cause and entry move together, from patient to patient; what belongs to one patient stays together: the
    outcomes of its rows (landmarks) go, as a block, to a patient with rows at the same landmarks. The pipeline is run
    afresh on each permutation, so the test covers whatever it selects or tunes, and is exact: under the hypothesis
    P(p ≤ α) ≤ α for any pipeline and statistic (Ojala & Garriga, J Mach Learn Res 2010;11:1833–1863, test 1; with the
    1 + of Phipson & Smyth, Stat Appl Genet Mol Biol 2010;9:39). A pipeline that draws random numbers must draw them
    independently of the outcomes, e.g. from the same seed each time.

    The hypothesis includes that censoring and entry do not depend on what the pipeline sees. Where they do by design,
    e.g. between centres, give `strata`.

    Args:
        pipeline: See `Pipeline`; called 1 + `n_permutations` times, with rows in the order of `outcomes`.
        statistic: See `Statistic`; may not be NaN for the true outcomes. A NaN of permuted ones counts as ≥.
        outcomes: What happened to the rows.
        patient_id: (rows,)
        rng: Source of the permutations.
        n_permutations: One or more; the smallest p-value is 1 / (1 + n_permutations).
        landmark_days: (rows,), each patient's in any order, none twice. None: one landmark, or rows in the same order.
        strata: (rows,), constant within a patient; outcomes are exchanged only within a stratum.
        progress: Called with the number of pipelines run and of all.

    Raises:
        SequelaError: No two patients can exchange outcomes, or the statistic of the true outcomes is NaN.
        ValueError: No permutations, or lengths that do not fit.
    """
    groups = exchangeable(len(outcomes), patient_id, landmark_days, strata)

    def value(source: NDArray[np.int64]) -> float:
        given = outcomes.take(source)
        return statistic(pipeline(given), given)

    return exchange_test(value, groups, rng=rng, n_permutations=n_permutations, progress=progress)


def exchange_test(
    value: Callable[[NDArray[np.int64]], float],
    groups: Sequence[NDArray[np.int64]],
    *,
    rng: np.random.Generator,
    n_permutations: int,
    progress: Callable[[int, int], None] | None = None,
) -> PermutationTest:
    """Compare a value with those found when something is exchanged within groups.

    Args:
        value: From (items,), the item whose belongings each item gets, to a number that is larger for better results;
            called 1 + `n_permutations` times, first with every item keeping its own. May not be NaN then; a NaN of
            exchanged belongings counts as reached.
        groups: Numbers of the items that may exchange, each (members,), or (members, items of each) where items go
            together in blocks. All groups together name each item once.
        rng: Source of the permutations; the first ones are the same whatever their number.
        n_permutations: One or more; the smallest p-value is 1 / (1 + n_permutations).
        progress: Called with the number of values computed and of all.

    Raises:
        SequelaError: The value is NaN with nothing exchanged.
        ValueError: No permutations.
    """
    if n_permutations < 1:
        msg = f"{n_permutations} permutations; one or more"
        raise ValueError(msg)
    n_items, total = sum(members.size for members in groups), 1 + n_permutations

    def run(source: NDArray[np.int64], number: int) -> float:
        found = float(value(source))
        if progress is not None:
            progress(number, total)
        return found

    observed = run(np.arange(n_items), 1)
    if np.isnan(observed):
        msg = "permutation test: the statistic of the true outcomes is not defined. Choose one that is, e.g. −IBS."
        raise SequelaError(msg)
    permuted = np.array([run(exchanged(groups, n_items, rng), b + 2) for b in range(n_permutations)])
    reached = int((~(permuted < observed)).sum())
    low, high = proportion_interval(reached, n_permutations)
    return PermutationTest(observed, permuted, (1 + reached) / total, low, high)


def proportion_interval(count: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of a binomial probability (Clopper & Pearson, Biometrika 1934;26:404–413)."""
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(beta.ppf(1 - tail, count + 1, total - count))
    return low, high


def exchangeable(
    n_rows: int,
    patient_id: Sequence[Any] | NDArray[Any],
    landmark_days: Sequence[float] | NDArray[np.float64] | None,
    strata: Sequence[Hashable] | NDArray[Any] | None,
) -> list[NDArray[np.int64]]:
    """Groups (patients, rows of each) of patients that may exchange outcomes; rows in the order of their landmarks."""
    for given in (patient_id, landmark_days, strata):
        if given is not None and len(given) != n_rows:
            msg = f"{len(given)} values for {n_rows} rows"
            raise ValueError(msg)
    rows_of: dict[Any, list[int]] = defaultdict(list)
    for row, patient in enumerate(np.asarray(patient_id).tolist()):
        rows_of[patient].append(row)
    landmark = None if landmark_days is None else np.asarray(landmark_days, dtype=np.float64)
    groups: dict[Hashable, list[list[int]]] = defaultdict(list)
    for rows in rows_of.values():
        pattern: tuple[float, ...] = (len(rows),)
        if landmark is not None:
            rows.sort(key=lambda row: float(landmark[row]))
            pattern = tuple(landmark[rows].tolist())
        groups[pattern, None if strata is None else strata[rows[0]]].append(rows)
    if max(map(len, groups.values())) < 2:
        msg = (
            "permutation test: no two patients have rows at the same landmarks (within a stratum), so no outcomes can "
            "be exchanged. Test one landmark, or use wider strata."
        )
        raise SequelaError(msg)
    return [np.array(members) for members in groups.values()]


def exchanged(groups: Sequence[NDArray[np.int64]], n_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """For each row, the row whose belongings it gets."""
    source = np.empty(n_rows, dtype=np.int64)
    for members in groups:
        source[members] = members[rng.permutation(len(members))]
    return source
