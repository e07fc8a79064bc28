"""The comparison itself: incidence under each strategy, contrasts, weights, and what followed a start as seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.effects.analysis import Contrasts
from experiments.strategies.benefit_risk import BenefitRisk, benefit_risk
from experiments.strategies.question import Question
from features.patients import FloatArray, IntArray
from features.states import StateHistories
from training.effects.estimates import Estimate
from training.effects.risks import RISK, Table, risk
from training.effects.time_lost import TIME_LOST
from training.states.occupation import occupation
from training.strategies.contrasts import contrasts
from training.strategies.emulation import Advance, Emulated, emulate, resampled
from training.strategies.exposure import Stays, hazard_ratios, histories
from training.strategies.incidence import incidence_at, time_lost_to
from training.strategies.positivity import Stretch, stretches

SEED = 20
"""Of the resamples, unless another is asked for: the same question gets the same answer."""
RESAMPLES = 200
CURVE_DAYS = 60
"""Days on which curves are drawn."""


@dataclass(frozen=True, slots=True)
class Clones:
    """What became of the clones of a strategy by the last horizon."""

    n_followed: tuple[int, ...]
    """By horizon: at risk on its day, still observed and following the day before."""
    effective: tuple[float, ...]
    """By horizon: how many patients they are worth."""
    n_deviated: int
    """Censored since they started, or did not, against the strategy."""
    events: IntArray
    """(causes,): while following."""
    n_ended: int
    """Whose observation ended, without an event, by the last horizon."""
    n_left: int
    """Still observed and following after it."""
    largest_weight: float
    """Before truncation."""
    limit: float
    """Of truncation; infinite if there is none."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What followed a start, as it was seen: no strategies."""

    n_starts: int
    events: IntArray
    """(2, causes): without and with treatment."""
    patient_days: FloatArray
    """(2,)"""
    hazard_ratios: tuple[Estimate, ...]
    """By cause."""
    adjusted: tuple[Estimate, ...] | None
    """Given the baseline covariates, where there are any."""
    states: StateHistories
    """Without, with, and each cause before and after a start; of those not treated on day 0."""
    occupied: tuple[tuple[Estimate, ...], ...]
    """By horizon and state: probability of being in it."""


@dataclass(frozen=True, slots=True)
class Strategies:
    """The answer."""

    question: Question
    emulated: Emulated
    n_resamples: int
    risk: Contrasts
    """Of the strategies compared."""
    time_lost: Contrasts
    natural_risk: Table
    """As treatment was given."""
    natural_time_lost: Table
    curve_days: FloatArray
    curves: tuple[Table, ...]
    """By strategy, the natural course last: risks on the days of curves."""
    benefit_risk: BenefitRisk
    clones: tuple[Clones, ...]
    """By strategy compared."""
    positivity: tuple[Stretch, ...]
    seen: Seen


def analyse(
    question: Question, *, n_resamples: int = RESAMPLES, seed: int = SEED, progress: Advance | None = None
) -> Strategies:
    """Emulate the trial.

    Args:
        question: Who is compared, under which strategies.
        n_resamples: Of patients, for the intervals.
        seed: Of these.
        progress: Told how many resamples of how many are done.
    """
    trial, at = question.trial, question.horizons_days
    found = emulate(trial)
    drawn = resampled(trial, found, n_resamples, np.random.default_rng(seed), progress)
    days = np.unique(np.rint(np.linspace(0, trial.followed.n_days, CURVE_DAYS)))
    worth = np.stack([one.effective_at(at) for one in found.weights])
    risks, lost = (
        contrasts(of(found.incidence[:-1], at), of(drawn[:, :-1], at), measure, worth[:-1])
        for measure, of in ((RISK, incidence_at), (TIME_LOST, time_lost_to))
    )
    (natural, *_), (natural_lost, *_) = (
        contrasts(of(found.incidence[-1:], at), of(drawn[:, -1:], at), measure, worth[-1:])
        for measure, of in ((RISK, incidence_at), (TIME_LOST, time_lost_to))
    )
    daily = np.stack([one.effective_at(days) for one in found.weights])
    curves, *_ = contrasts(incidence_at(found.incidence, days), incidence_at(drawn, days), RISK, daily)
    grace = question.asked.grace_days
    ends = sorted({grace + 1, (grace + 1 + trial.followed.n_days) // 2, trial.followed.n_days})
    of_risk = Contrasts(*risks)
    return Strategies(
        question,
        found,
        n_resamples,
        of_risk,
        Contrasts(*lost),
        natural[0],
        natural_lost[0],
        days,
        curves,
        benefit_risk(question, found.incidence[:-1], drawn[:, :-1], worth[:-1], of_risk),
        _clones(question, found),
        tuple(stretches(trial.starts, found.probability, ends)),
        _seen(question),
    )


def _clones(question: Question, emulated: Emulated) -> tuple[Clones, ...]:
    trial = question.trial
    followed = trial.followed
    days = [int(np.ceil(day)) - 1 for day in question.horizons_days]
    observed = followed.observed
    last = np.minimum(followed.end_day, followed.n_days) - 1
    everyone = np.arange(len(followed))
    found = []
    for own, weights in zip(trial.follows()[:-1], emulated.weights[:-1], strict=True):
        follows = np.isfinite(own[everyone, last])  # to the end of observation
        ended = follows & (followed.end_day <= followed.n_days)
        events = np.bincount(followed.cause[ended], minlength=len(followed.causes) + 1)
        n_followed = tuple(int((np.isfinite(own[:, day]) & observed[:, day]).sum()) for day in days)
        found.append(
            Clones(
                n_followed,
                tuple(map(float, weights.effective_at(question.horizons_days))),
                int((~follows).sum()),
                events[1:],
                int(events[0]),
                int((follows & (followed.end_day > followed.n_days)).sum()),
                weights.largest,
                weights.limit,
            )
        )
    return tuple(found)


def _seen(question: Question) -> Seen:
    outcomes, start, at = question.outcomes, question.start_days, question.horizons_days
    stays = Stays.of(outcomes, start)
    exposed, cause = stays.exposed.astype(np.int64), stays.outcomes.cause
    events = np.zeros((2, len(outcomes.causes) + 1), dtype=np.int64)
    np.add.at(events, (exposed, cause), 1)
    _, states = histories(outcomes, start)
    found = occupation(states, at)
    errors, *_ = found.errors()
    occupied = tuple(
        tuple(risk(float(p), float(e)) for p, e in zip(*row, strict=True))
        for row in zip(found.probability, errors, strict=True)
    )
    return Seen(
        int((start < outcomes.duration_days).sum()),
        events[:, 1:],
        np.bincount(exposed, stays.days, minlength=2).astype(float),
        hazard_ratios(stays),
        None if question.covariates is None else hazard_ratios(stays, question.covariates.x),
        states,
        occupied,
    )
