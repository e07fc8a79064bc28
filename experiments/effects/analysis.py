"""The comparison itself: tests and contrasts, as the arms are and adjusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.effects.question import Counted, Question
from features.errors import SequelaError
from features.patients import FloatArray
from training.effects.adjusted import Standardised, cross_fitted, doubly_robust, folds, weighted
from training.effects.arms import Arms
from training.effects.e_value import EValue, e_value
from training.effects.estimates import ChiSquared, Estimate
from training.effects.gray import gray_test
from training.effects.hazards import cause_specific_ratios, subdistribution_ratios
from training.effects.logrank import log_rank_test
from training.effects.propensity import LEAST, Balance, Overlap, balance, overlap, propensities, stabilised_weights
from training.effects.recurrent import RateRatios, mean_counts, mean_differences, rate_ratios
from training.effects.risks import RISK, Measure, Table, by_arm, differences, ratios
from training.effects.subgroups import Subgroup, heterogeneity, subgroups
from training.effects.time_lost import TIME_LOST

MOST_HARDLY = 0.1
"""Share of patients who could hardly have been in some arm, above which nothing is adjusted."""
SEED = 20
"""Of the folds of cross-fitting, unless another is asked for: the same question gets the same answer."""


@dataclass(frozen=True, slots=True)
class CauseEffects:
    """Tests and hazard ratios of one cause."""

    cause: str
    gray: ChiSquared | None
    """None where patients enter observation late."""
    log_rank: ChiSquared
    cause_specific: tuple[Estimate, ...]
    """By arm but the first."""
    subdistribution: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Contrasts:
    """A measure by arm, and each arm against the first."""

    tables: tuple[Table, ...]
    differences: tuple[Table, ...]
    ratios: tuple[Table, ...]

    @classmethod
    def plain(cls, arms: Arms, measure: Measure, horizons_days: FloatArray) -> Contrasts:
        """The arms as they are."""
        tables = by_arm(arms, measure, horizons_days)
        return cls(tables, differences(tables), ratios(tables))

    @classmethod
    def of(cls, standardised: Standardised, measure: Measure) -> Contrasts:
        """Had everyone been in each arm."""
        return cls(standardised.tables(measure), standardised.differences(), standardised.ratios())


@dataclass(frozen=True, slots=True)
class Compared:
    """Risks and times lost by one method."""

    method: str
    """``unadjusted``, ``weighted`` or ``doubly robust``."""
    risk: Contrasts
    time_lost: Contrasts


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Whether the adjustment can be believed."""

    probability: FloatArray
    """(patients, arms): of being in each arm, given the covariates."""
    balance: list[Balance]
    overlap: list[Overlap]
    cross_fitted: list[Overlap]
    """The same of probabilities from models of other patients, by which the doubly robust estimate divides."""


@dataclass(frozen=True, slots=True)
class CountedEffects:
    """Events that come back."""

    counted: Counted
    rates: RateRatios
    times_days: FloatArray
    """(times,): for a curve, the horizons among them."""
    means: tuple[tuple[Estimate, ...], ...]
    """By arm and time: expected number of events."""
    differences: tuple[tuple[Estimate, ...], ...]
    """By arm but the first, and horizon."""


@dataclass(frozen=True, slots=True)
class GroupEffects:
    """Differences of risks of the event of interest in groups of patients."""

    method: str
    groups: list[Subgroup]
    tests: tuple[tuple[ChiSquared, ...], ...]
    """By arm but the first, and horizon: that the difference is the same in all groups used."""
    used: tuple[tuple[tuple[str, ...], ...], ...]
    """Names of these, likewise: where the standard error is known."""


@dataclass(frozen=True, slots=True)
class Effects:
    """The answer."""

    question: Question
    causes: tuple[CauseEffects, ...]
    compared: tuple[Compared, ...]
    """Unadjusted first; the last is the one to go by."""
    adjustment: Adjustment | None
    e_values: tuple[tuple[EValue, ...], ...]
    """By arm but the first, and horizon: of the event of interest, from the last method."""
    counted: CountedEffects | None
    groups: GroupEffects | None


def analyse(question: Question, seed: int = SEED) -> Effects:
    """Compare the arms of a question.

    Args:
        question: Who is compared, in what.
        seed: Of the folds of cross-fitting.

    Raises:
        SequelaError: The covariates tell the arms apart, so that nothing can be adjusted for.
    """
    arms, at = question.arms, question.horizons_days
    causes = tuple(_cause_effects(arms, k, name) for k, name in enumerate(arms.outcomes.causes, start=1))
    compared = [Compared("unadjusted", Contrasts.plain(arms, RISK, at), Contrasts.plain(arms, TIME_LOST, at))]
    adjustment, robust = None, None
    if question.covariates is not None:
        adjustment = _adjustment(question, seed)
        robust = doubly_robust(arms, question.covariates.x, RISK, at, rng=np.random.default_rng(seed))
        compared += _adjusted(question, robust, seed)
    e_values = tuple(tuple(e_value(one) for one in table[0]) for table in compared[-1].risk.ratios)
    counted = None if question.counted is None else _count(question)
    groups = None if question.groups is None else _within_groups(question, robust)
    return Effects(question, causes, tuple(compared), adjustment, e_values, counted, groups)


def _cause_effects(arms: Arms, cause: int, name: str) -> CauseEffects:
    return CauseEffects(
        name,
        None if arms.outcomes.entry_days is not None else gray_test(arms, cause),
        log_rank_test(arms, cause),
        cause_specific_ratios(arms, cause),
        subdistribution_ratios(arms, cause),
    )


def _within_groups(question: Question, robust: Standardised | None) -> GroupEffects:
    arms, groups, at = question.arms, question.groups, question.horizons_days
    assert groups is not None  # noqa: S101 - for the type checker
    found = subgroups(arms, groups.group, groups.names, RISK, at, robust)
    cells = [[_of_groups(found, k, j) for j in range(len(at))] for k in range(len(arms.names) - 1)]
    tests = tuple(tuple(heterogeneity(list(cell.values())) for cell in row) for row in cells)
    used = tuple(tuple(tuple(cell) for cell in row) for row in cells)
    return GroupEffects("unadjusted" if robust is None else "doubly robust", found, tests, used)


def _of_groups(groups: list[Subgroup], arm: int, horizon: int) -> dict[str, Estimate]:
    """Differences of known standard error of one arm by one horizon, by name of the group."""
    found = {one.name: one.differences[arm][0][horizon] for one in groups if one.differences is not None}
    return {name: one for name, one in found.items() if one.standard_error > 0}


def _adjusted(question: Question, robust: Standardised, seed: int) -> list[Compared]:
    arms, at = question.arms, question.horizons_days
    assert question.covariates is not None  # noqa: S101 - for the type checker
    x = question.covariates.x
    by_weights = [Contrasts.of(weighted(arms, x, one, at), one) for one in (RISK, TIME_LOST)]
    lost = doubly_robust(arms, x, TIME_LOST, at, rng=np.random.default_rng(seed))
    by_both = Compared("doubly robust", Contrasts.of(robust, RISK), Contrasts.of(lost, TIME_LOST))
    return [Compared("weighted", *by_weights), by_both]


def _adjustment(question: Question, seed: int) -> Adjustment:
    arms, covariates = question.arms, question.covariates
    assert covariates is not None  # noqa: S101 - for the type checker
    probability = propensities(covariates.x, arms.arm)
    weights = stabilised_weights(probability, arms.arm)
    shared = overlap(probability, arms.arm, arms.names, weights)
    crossed = cross_fitted(covariates.x, arms.arm, folds(arms.arm, np.random.default_rng(seed)))
    of_others = overlap(crossed, arms.arm, arms.names, stabilised_weights(crossed, arms.arm))
    for one in (*shared, *of_others):
        if one.hardly > MOST_HARDLY:
            msg = (
                f"--adjust {','.join(covariates.names)}: {one.hardly:.0%} of the patients could hardly have been in "
                f"arm {one.arm} (probability below {LEAST:g}), so nobody in it stands for them; compare patients for "
                "whom each arm could have been chosen, or leave out a variable that decides the arm alone"
            )
            raise SequelaError(msg)
    in_balance = balance(covariates.x, covariates.columns, arms.arm, arms.names, weights)
    return Adjustment(probability, in_balance, shared, of_others)


def _count(question: Question) -> CountedEffects:
    counted, at = question.counted, question.horizons_days
    assert counted is not None  # noqa: S101 - for the type checker
    n_arms = len(question.arms.names)
    rates = rate_ratios(counted.recurrences, counted.arm, n_arms, counted.stratum)
    parts = [counted.recurrences.take(np.flatnonzero(counted.arm == k)) for k in range(n_arms)]
    last = max(float(at[-1]), 1.0)
    times = np.unique(np.concatenate([np.linspace(0.0, last, 61), at]))
    means = tuple(mean_counts(part, times) for part in parts)
    horizons = np.searchsorted(times, at)
    return CountedEffects(
        counted, rates, times, means, mean_differences(tuple(tuple(own[i] for i in horizons) for own in means))
    )
