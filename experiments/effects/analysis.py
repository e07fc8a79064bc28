"""The comparison itself: tests and contrasts, as the arms are and adjusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.effects.adjustable import check_overlap
from experiments.effects.counting import Counted
from experiments.effects.question import Question
from experiments.page.arms import Predicted
from features.patients import FloatArray
from training.effects.adjusted import Standardised, cross_fitted, doubly_robust, folds, weighted
from training.effects.arms import Arms
from training.effects.counted import MeanNumbers
from training.effects.e_value import EValue, e_value
from training.effects.estimates import ChiSquared, Estimate
from training.effects.gray import gray_test
from training.effects.hazards import cause_specific_ratios, subdistribution_ratios
from training.effects.individual import IndividualEffects, individual_effects
from training.effects.logrank import log_rank_test
from training.effects.propensity import Balance, Overlap, balance, overlap, propensities, stabilised_weights
from training.effects.recurrent import RateRatios, rate_ratios
from training.effects.risks import RISK, Measure, Table, by_arm, differences, ratios
from training.effects.subgroups import Subgroup, heterogeneity, subgroups
from training.effects.targeted import aimed, averaged, curves_of, nuisances_of, targeted
from training.effects.time_lost import TIME_LOST

CURVE_DAYS = 61
"""Days of a curve, evenly to the last horizon."""
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
    """``unadjusted``, ``weighted``, ``doubly robust`` or ``targeted``."""
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
    """The same of probabilities from models of other patients, by which the last two estimates divide."""
    hardly_seen: tuple[float, ...]
    """By arm: share of patients who could hardly have been in it and followed to the last horizon."""


@dataclass(frozen=True, slots=True)
class CountedEffects:
    """Events that come back."""

    counted: Counted
    rates: RateRatios
    times_days: FloatArray
    """(times,): for a curve, the horizons among them."""
    curves: tuple[MeanNumbers, ...]
    """By method, unadjusted first: expected numbers by each of these times."""
    at_horizons: tuple[MeanNumbers, ...]
    """The same by the horizons."""


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
    curves: Predicted | None
    """Targeted incidence to the last horizon."""
    adjustment: Adjustment | None
    e_values: tuple[tuple[EValue, ...], ...]
    """By arm but the first, and horizon: of the event of interest, from the last method."""
    counted: CountedEffects | None
    groups: GroupEffects | None
    individual: tuple[IndividualEffects, ...] | None
    """By arm but the first: differences of risks of the event of interest by the last horizon, patient by patient."""


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
    adjustment, risk, curves = None, None, None
    if question.covariates is not None:
        x = question.covariates.x
        probability = propensities(x, arms.arm)
        shared = _overlaps(question, probability, seed)
        nuisances = nuisances_of(arms, x, at, rng=np.random.default_rng(seed))
        adjustment = _adjustment(question, probability, *shared, tuple(one.hardly_seen for one in nuisances))
        aims = aimed(nuisances, RISK, at)
        risk = averaged(aims)
        days = np.linspace(0.0, float(at[-1]), CURVE_DAYS)
        curves = Predicted(days, curves_of(nuisances, aims, days))
        lost = Contrasts.of(targeted(nuisances, TIME_LOST, at), TIME_LOST)
        compared += [*_adjusted(arms, x, at, seed), Compared("targeted", Contrasts.of(risk, RISK), lost)]
    e_values = tuple(tuple(e_value(one) for one in table[0]) for table in compared[-1].risk.ratios)
    counted = None if question.counted is None else _count(question)
    groups = None if question.groups is None else _within_groups(question, risk)
    individual = None
    if question.individual and risk is not None and question.covariates is not None:
        individual = individual_effects(risk, question.covariates.x, 0, len(at) - 1)
    return Effects(question, causes, tuple(compared), curves, adjustment, e_values, counted, groups, individual)


def _cause_effects(arms: Arms, cause: int, name: str) -> CauseEffects:
    return CauseEffects(
        name,
        None if arms.outcomes.entry_days is not None else gray_test(arms, cause),
        log_rank_test(arms, cause),
        cause_specific_ratios(arms, cause),
        subdistribution_ratios(arms, cause),
    )


def _within_groups(question: Question, risk: Standardised | None) -> GroupEffects:
    arms, groups, at = question.arms, question.groups, question.horizons_days
    assert groups is not None  # noqa: S101 - for the type checker
    found = subgroups(arms, groups.group, groups.names, RISK, at, risk)
    cells = [[_of_groups(found, k, j) for j in range(len(at))] for k in range(len(arms.names) - 1)]
    tests = tuple(tuple(heterogeneity(list(cell.values())) for cell in row) for row in cells)
    used = tuple(tuple(tuple(cell) for cell in row) for row in cells)
    return GroupEffects("unadjusted" if risk is None else "targeted", found, tests, used)


def _of_groups(groups: list[Subgroup], arm: int, horizon: int) -> dict[str, Estimate]:
    """Differences of known standard error of one arm by one horizon, by name of the group."""
    found = {one.name: one.differences[arm][0][horizon] for one in groups if one.differences is not None}
    return {name: one for name, one in found.items() if one.standard_error > 0}


def _adjusted(arms: Arms, x: FloatArray, at: FloatArray, seed: int) -> list[Compared]:
    by_weights, by_both = [], []
    for one in (RISK, TIME_LOST):
        by_weights.append(Contrasts.of(weighted(arms, x, one, at), one))
        by_both.append(Contrasts.of(doubly_robust(arms, x, one, at, rng=np.random.default_rng(seed)), one))
    return [Compared("weighted", *by_weights), Compared("doubly robust", *by_both)]


def _overlaps(question: Question, probability: FloatArray, seed: int) -> tuple[list[Overlap], list[Overlap]]:
    """By the model of everyone, and by those of other patients; refused where there is hardly any."""
    arms, covariates = question.arms, question.covariates
    assert covariates is not None  # noqa: S101 - for the type checker
    crossed = cross_fitted(covariates.x, arms.arm, folds(arms.arm, np.random.default_rng(seed)))
    shared, of_others = (
        overlap(one, arms.arm, arms.names, stabilised_weights(one, arms.arm)) for one in (probability, crossed)
    )
    check_overlap(covariates.names, (*shared, *of_others))
    return shared, of_others


def _adjustment(
    question: Question,
    probability: FloatArray,
    shared: list[Overlap],
    of_others: list[Overlap],
    hardly_seen: tuple[float, ...],
) -> Adjustment:
    arms, covariates = question.arms, question.covariates
    assert covariates is not None  # noqa: S101 - for the type checker
    weights = stabilised_weights(probability, arms.arm)
    in_balance = balance(covariates.x, covariates.columns, arms.arm, arms.names, weights)
    return Adjustment(probability, in_balance, shared, of_others, hardly_seen)


def _count(question: Question) -> CountedEffects:
    counted, at = question.counted, question.horizons_days
    assert counted is not None  # noqa: S101 - for the type checker
    n_arms = len(question.arms.names)
    rates = rate_ratios(counted.recurrences, counted.arm, n_arms, counted.stratum)
    last = max(float(at[-1]), 1.0)
    times = np.unique(np.concatenate([np.linspace(0.0, last, CURVE_DAYS), at]))
    curves = [MeanNumbers.plain(counted.recurrences, counted.arm, n_arms, times)]
    if counted.covariates is not None:
        x = counted.covariates.x
        probability = propensities(x, counted.arm)
        weights = stabilised_weights(probability, counted.arm)
        shared = overlap(probability, counted.arm, question.arms.names, weights)
        check_overlap(counted.covariates.names, shared, counted.whom)
        curves.append(MeanNumbers.weighted(counted.recurrences, counted.arm, n_arms, x, times))
    places = np.searchsorted(times, at)
    return CountedEffects(counted, rates, times, tuple(curves), tuple(one.at(places) for one in curves))
