"""States by group, benefit against harm, weighted time, and what a weight would have to be to change the ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from experiments.benefit_risk.question import BENEFICIAL, COMPLICATION, Question
from experiments.effects.adjustable import check_overlap
from features.patients import FloatArray
from features.states import StateHistories
from training.effects.estimates import Estimate, difference_of
from training.effects.propensity import Balance, Overlap, balance, overlap, propensities, stabilised_weights
from training.effects.risks import risk
from training.states.markov import MarkovTest, markov_tests
from training.states.occupation import Occupation, occupation
from training.states.weighted_time import Threshold, Trade, days_within, expected_days, threshold, trade

CURVE_DAYS = 80
"""Days on which curves of states are computed."""
EVERYONE = "everyone"
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Group:
    """States of some patients."""

    name: str
    histories: StateHistories
    occupation: Occupation
    """At the question's times."""
    curve: Occupation
    """At `CURVE_DAYS` days from 0 to the horizon."""
    trade: Trade
    """By the horizon."""
    unfollowed: tuple[tuple[int, float], ...]
    """States that still have patients at the horizon, and the earlier day after which none in them is followed."""

    @classmethod
    def of(cls, name: str, histories: StateHistories, question: Question, weights: FloatArray | None = None) -> Group:
        """Estimate everything of a group, whose patients perhaps count by weights (patients,)."""
        found = occupation(histories, question.times_days, weights)
        curve = occupation(histories, np.linspace(0.0, question.horizon_days, CURVE_DAYS), weights)
        place = len(question.times_days) - 1
        return cls(
            name,
            histories,
            found,
            curve,
            trade(found, place, COMPLICATION, BENEFICIAL),
            _unfollowed(histories, found, question),
        )

    def days(self, worth: Sequence[float] | FloatArray, at: int = -1) -> Estimate:
        """Expected days, weighed, by a time of the question."""
        return expected_days(self.occupation, at % len(self.occupation.times_days), worth)

    @property
    def harm(self) -> Estimate:
        """Probability of ever having had the complication by the horizon."""
        return risk(self.trade.harm, float(np.sqrt(self.trade.covariance[0, 0])))

    @property
    def benefit(self) -> Estimate:
        """Expected days up to the horizon before what ends the benefit."""
        return self.days([float(state in BENEFICIAL) for state in range(len(self.histories.states))])

    def estimates(self) -> tuple[tuple[tuple[Estimate, Estimate, Estimate], ...], ...]:
        """By time and state: probability of being in it, of ever having been, and expected days, with intervals."""
        probability, entered, days = self.occupation.errors()
        return tuple(
            tuple(
                (
                    risk(float(self.occupation.probability[t, s]), float(probability[t, s])),
                    risk(float(self.occupation.entered[t, s]), float(entered[t, s])),
                    days_within(float(self.occupation.days[t, s]), float(days[t, s]), float(day)),
                )
                for s in range(len(self.histories.states))
            )
            for t, day in enumerate(self.occupation.times_days)
        )


def _unfollowed(histories: StateHistories, found: Occupation, question: Question) -> tuple[tuple[int, float], ...]:
    known = []
    for state in range(len(histories.states)):
        own = histories.state == state
        last = float(histories.stop_days[own].max()) if own.any() else 0.0
        left = found.probability[-1, state] > 0 and state not in question.last_states
        if left and last < question.horizon_days:
            known.append((state, last))
    return tuple(known)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Groups weighted to the covariates of all their patients, and whether that can be believed."""

    weights: tuple[FloatArray, ...]
    """By group: (patients,), stabilised."""
    balance: list[Balance]
    overlap: list[Overlap]

    @classmethod
    def of(cls, question: Question) -> Adjustment | None:
        """Weigh the groups of a question, where something is adjusted for.

        Raises:
            SequelaError: Many patients could hardly have been in some group.
        """
        if question.adjusted is None:
            return None
        covariates, arm = question.adjusted.covariates, question.adjusted.arm
        names = [name for name, _ in question.groups]
        probability = propensities(covariates.x, arm)
        weights = stabilised_weights(probability, arm)
        shared = overlap(probability, arm, names, weights)
        check_overlap(covariates.names, shared)
        by_group = tuple(weights[arm == k] for k in range(len(names)))
        return cls(by_group, balance(covariates.x, covariates.columns, arm, names, weights), shared)


@dataclass(frozen=True, slots=True)
class Contrast:
    """A group less the reference, by the horizon."""

    name: str
    harm: Estimate
    """Of the probabilities of ever having had the complication."""
    benefit: Estimate
    """Of expected days before what ends the benefit."""
    weighted: Estimate
    """Of expected weighted days."""
    thresholds: tuple[tuple[int, Threshold], ...]
    """By state whose worth is varied."""


@dataclass(frozen=True, slots=True)
class Best:
    """Which group has the most weighted days while a day in one state is worth something from `low` to `high`."""

    low: float
    high: float
    name: str


@dataclass(frozen=True, slots=True)
class BenefitRisk:
    """The answer."""

    question: Question
    everyone: Group
    groups: tuple[Group, ...]
    """The reference first; none without `by`."""
    contrasts: tuple[Contrast, ...]
    """By group but the reference."""
    best: tuple[Best, ...]
    """By the worth of a day with the complication, ascending; none without groups."""
    markov: tuple[MarkovTest, ...]
    adjustment: Adjustment | None
    """How groups were made alike; None: they are as they are."""

    @property
    def shown(self) -> tuple[Group, ...]:
        """The groups, or everyone where there are none."""
        return self.groups or (self.everyone,)


def analyse(question: Question, progress: Advance | None = None) -> BenefitRisk:
    """Estimate states, and compare groups.

    Args:
        question: Whose states, and until when.
        progress: Told how many groups of how many are done.

    Raises:
        SequelaError: Many patients could hardly have been in some group that is adjusted.
    """
    adjustment, n = Adjustment.of(question), 1 + len(question.groups)
    everyone = Group.of(EVERYONE, question.histories, question)
    groups: list[Group] = []
    for k, (name, patients) in enumerate(question.groups):
        if progress is not None:
            progress(1 + k, n)
        weights = None if adjustment is None else adjustment.weights[k]
        groups.append(Group.of(name, question.histories.take(patients), question, weights))
    if progress is not None:
        progress(n, n)
    contrasts = tuple(_contrast(one, groups[0], question) for one in groups[1:])
    tests = markov_tests(question.histories)
    return BenefitRisk(question, everyone, tuple(groups), contrasts, _best(groups, question), tests, adjustment)


def _contrast(one: Group, reference: Group, question: Question) -> Contrast:
    place = len(question.times_days) - 1
    return Contrast(
        one.name,
        difference_of(one.harm, reference.harm),
        difference_of(one.benefit, reference.benefit),
        difference_of(one.days(question.worth), reference.days(question.worth)),
        tuple(
            (state, threshold(one.occupation, reference.occupation, place, question.worth, state))
            for state in range(1, len(question.states))
            if state not in question.last_states
        ),
    )


def _best(groups: Sequence[Group], question: Question) -> tuple[Best, ...]:
    """Pieces of the worth of a day with the complication, each with the group that has the most weighted days."""
    if not groups:
        return ()
    place = len(question.times_days) - 1
    pairs = combinations(groups, 2)
    equal = (
        threshold(one.occupation, other.occupation, place, question.worth, COMPLICATION).equal_at
        for one, other in pairs
    )
    ends = [0.0, *sorted({value for value in equal if 0 < value < 1}), 1.0]
    found: list[Best] = []
    for low, high in pairwise(ends):
        worth = question.worth.copy()
        worth[COMPLICATION] = (low + high) / 2
        name = max(groups, key=lambda group: group.days(worth).point).name
        if found and found[-1].name == name:
            found[-1] = Best(found[-1].low, high, name)
        else:
            found.append(Best(low, high, name))
    return tuple(found)
