"""What targeting begins with: hazards of the causes and of censoring in an arm, from models of other patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.outcomes import Outcomes
from training.effects.arms import Arms, FloatArray, IntArray
from training.effects.propensity import LEAST
from training.models.partial_likelihood import MAX_LINEAR_PREDICTOR, PartialLikelihood
from training.models.penalised_fit import maximise

MOST_TIMES = 500
"""Distinct days of events that are told apart: a year and more of single days. More are put together."""


@dataclass(frozen=True, slots=True)
class Nuisances:
    """Everyone, had they been in one arm: hazards by day, and how likely it is to see them there."""

    rows: IntArray
    """Positions of the arm's own patients."""
    times_days: FloatArray
    """(times,): distinct days of events in the arm, to the last horizon and with it."""
    hazard: FloatArray
    """(causes, patients, times): P(event of the cause on a day | free of events until then, covariates)."""
    seen: FloatArray
    """(patients, times): P(in the arm | covariates) P(not censored before the day | covariates), at least `LEAST`."""
    happened: FloatArray
    """(causes, own patients, times): 1 on the day of a patient's event."""
    at_risk: FloatArray
    """(own patients, times): 1 to the day that a patient's observation ends."""

    @property
    def hardly_seen(self) -> float:
        """Share of all patients who are seen in the arm on the last day with a probability of `LEAST` or below it."""
        return float((self.seen[:, -1] <= LEAST).mean())

    @classmethod
    def of(
        cls, arms: Arms, arm: int, x: FloatArray, probability: FloatArray, fold: IntArray, last_day: float
    ) -> Nuisances:
        """Ridge Cox models of each cause and of censoring within the arm, each asked about patients of another fold.

        The penalty is the number of covariates: as if log hazards varied over patients, beforehand, with a standard
        deviation of about 1. Censoring may so depend on arm and covariates; where it is tied with events, these come
        first.

        Args:
            arms: Patients observed from 0 on.
            arm: Which one everybody is put in.
            x: (patients, covariates), standardised.
            probability: (patients,): of being in this arm.
            fold: (patients,): whom no model of the other folds has seen; all of one value: models of everyone.
            last_day: The last horizon.
        """
        rows = arms.rows(arm)
        own = _on_a_grid(arms.outcomes.take(rows), last_day)
        times = np.unique(np.append(own.duration_days[(own.cause > 0) & (own.duration_days <= last_day)], last_day))
        hazard = np.zeros((len(own.causes), len(x), len(times)))
        observed = np.ones((len(x), len(times)))
        for number in np.unique(fold):
            asked = np.flatnonzero(fold == number)
            learnt = fold[rows] != number if (fold != number).any() else np.ones(len(rows), dtype=bool)
            known = own.take(np.flatnonzero(learnt))
            increments = [_increments(x[rows[learnt]], known, k + 1, x[asked], times) for k in range(len(own.causes))]
            hazard[:, asked] = _on_the_day(np.stack(increments))
            observed[asked] = _not_yet_censored(x[rows[learnt]], known, x[asked], times)
        place = np.searchsorted(times, own.duration_days)
        happened = np.zeros((len(own.causes), len(rows), len(times)))
        within = np.flatnonzero((own.cause > 0) & (own.duration_days <= last_day))
        happened[own.cause[within] - 1, within, place[within]] = 1.0
        at_risk = (times <= own.duration_days[:, None]).astype(float)
        seen = np.maximum(probability[:, None] * observed, LEAST)
        return cls(rows, times, hazard, seen, happened, at_risk)


def _on_a_grid(outcomes: Outcomes, last_day: float) -> Outcomes:
    """The same outcomes; where they have very many days, moved to the next of as many as are told apart."""
    events = outcomes.duration_days[(outcomes.cause > 0) & (outcomes.duration_days <= last_day)]
    if len(np.unique(events)) <= MOST_TIMES:
        return outcomes
    edges = np.unique(np.append(np.quantile(events, np.linspace(0, 1, MOST_TIMES), method="higher"), last_day))
    within = outcomes.duration_days <= last_day
    moved = edges[np.minimum(np.searchsorted(edges, outcomes.duration_days), len(edges) - 1)]
    return Outcomes(np.where(within, moved, outcomes.duration_days), outcomes.cause, outcomes.causes)


def _increments(x: FloatArray, outcomes: Outcomes, cause: int, at: FloatArray, times_days: FloatArray) -> FloatArray:
    """Of the cumulative hazard of a cause for other patients, (patients, times); 0 without an event to learn from."""
    if not (outcomes.cause == cause).any():
        return np.zeros((len(at), len(times_days)))
    likelihood = PartialLikelihood.of(x, outcomes, cause)
    beta = maximise(likelihood, float(x.shape[1]))
    relative = np.exp(np.clip(at @ beta, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR))
    place = np.searchsorted(times_days, likelihood.times)
    within = place < len(times_days)
    steps = np.zeros(len(times_days))
    np.add.at(steps, place[within], likelihood.baseline(beta)[within])
    expected: FloatArray = relative[:, None] * steps
    return expected


def _not_yet_censored(x: FloatArray, outcomes: Outcomes, at: FloatArray, times_days: FloatArray) -> FloatArray:
    """P(censoring on no day before each time | covariates), (patients, times)."""
    event_first = np.where(outcomes.cause > 0, np.nextafter(outcomes.duration_days, 0.0), outcomes.duration_days)
    leaving = Outcomes(event_first, (outcomes.cause == 0).astype(np.int64), ("censoring",))
    days = np.unique(np.append(times_days, leaving.duration_days[leaving.cause > 0]))
    cumulative = np.cumsum(_increments(x, leaving, 1, at, days), axis=1)
    before = np.searchsorted(days, times_days)  # sums up to the day before
    padded = np.concatenate([np.zeros((len(at), 1)), cumulative], axis=1)
    found: FloatArray = np.exp(-padded[:, before])
    return found


def _on_the_day(increments: FloatArray) -> FloatArray:
    """Probabilities of an event of each cause on each day, (causes, patients, times), from cumulative hazards' steps.

    All causes together 1 − exp(−ΔΛ), shared as the steps are: below 1, however large the steps.
    """
    total = increments.sum(axis=0)
    share = np.divide(-np.expm1(-total), total, out=np.ones_like(total), where=total > 0)
    found: FloatArray = increments * share
    return found
