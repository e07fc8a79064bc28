"""Who got which arm: probabilities given covariates, the weights from them, and whether these make the arms alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from training.effects.arms import FloatArray, IntArray

LEAST = 0.01
"""Probabilities below this are raised to it, so that no patient stands for more than a hundred."""
SAME = 1e-9
"""Standardised values that differ by less are the same."""
INVERSE_PENALTY = 1e4
"""Of the ridge penalty on standardised covariates: too weak to matter, unless covariates tell the arms apart fully."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How far apart the arms are in one covariate: standardised mean difference of an arm to the first."""

    name: str
    arm: str
    before: float
    after: float
    """Of the weighted means."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Whether patients of one arm could have been in another."""

    arm: str
    n_rows: int
    effective: float
    """(Σ w)² / Σ w²: how many patients the weighted arm is worth (Kish, Survey Sampling, Wiley 1965)."""
    lowest: float
    highest: float
    """Least and greatest probability, over all patients, of being in this arm."""
    hardly: float
    """Share of all patients whose probability of being in this arm is below `LEAST`: nobody in it stands for them."""
    largest_weight: float
    """Of the stabilised weights."""


def standardised(x: FloatArray) -> FloatArray:
    """Columns (rows, columns) of mean 0 and standard deviation 1; constant ones become 0."""
    spread = x.std(axis=0)
    centred: FloatArray = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return centred


def propensities(x: FloatArray, arm: IntArray, at: FloatArray | None = None) -> FloatArray:
    """P(arm | covariates), by multinomial logistic regression: (rows, arms).

    Args:
        x: (rows, covariates), standardised.
        arm: (rows,), every arm in it.
        at: (other rows, covariates), whose probabilities are wanted; None: those of x.
    """
    model = LogisticRegression(C=INVERSE_PENALTY, solver="newton-cholesky", tol=1e-8, max_iter=200)
    found: FloatArray = model.fit(x, arm).predict_proba(x if at is None else at)
    return found


def own_probability(probability: FloatArray, arm: IntArray) -> FloatArray:
    """(rows,): probability of the arm that a patient is in, at least `LEAST`."""
    found: FloatArray = np.maximum(probability[np.arange(len(arm)), arm], LEAST)
    return found


def stabilised_weights(probability: FloatArray, arm: IntArray) -> FloatArray:
    """(rows,): share of the arm over the probability of being in it.

    With them each arm is weighted to the covariates of the whole cohort, and keeps about its size (Robins, Hernán &
    Brumback, Epidemiology 2000;11:550).
    """
    share = np.bincount(arm, minlength=probability.shape[1]) / len(arm)
    return share[arm] / own_probability(probability, arm)


def scores_of(x: FloatArray, probability: FloatArray, arm: IntArray) -> FloatArray:
    """(rows, parameters): each patient's part in the score of the logistic regression."""
    with_constant = np.column_stack([np.ones(len(x)), x])
    residual = (arm[:, None] == np.arange(1, probability.shape[1])) - probability[:, 1:]
    found: FloatArray = (residual[:, :, None] * with_constant[:, None, :]).reshape(len(x), -1)
    return found


def balance(
    x: FloatArray, columns: Sequence[str], arm: IntArray, names: Sequence[str], weights: FloatArray
) -> list[Balance]:
    """Standardised mean differences before and after weighting, of every covariate and every arm but the first.

    Over the root of the mean of the two unweighted variances (Austin, Stat Med 2009;28:3083); above 0.1 is commonly
    called out of balance. Where neither arm varies, 0 if they have one value, and otherwise infinite.
    """
    found = []
    for j, column in enumerate(columns):
        for k in range(1, len(names)):
            values, own, reference = x[:, j], arm == k, arm == 0
            spread = np.sqrt((values[own].var(ddof=1) + values[reference].var(ddof=1)) / 2)
            means = [
                np.average(values[own], weights=w[own]) - np.average(values[reference], weights=w[reference])
                for w in (np.ones(len(arm)), weights)
            ]
            before, after = (float(m / spread) if spread > SAME else (0.0 if abs(m) <= SAME else np.inf) for m in means)
            found.append(Balance(column, names[k], before, after))
    return found


def overlap(probability: FloatArray, arm: IntArray, names: Sequence[str], weights: FloatArray) -> list[Overlap]:
    """How much each arm is worth once weighted, and how certain it is who is in it."""
    found = []
    for k, name in enumerate(names):
        own = weights[arm == k]
        effective = float(own.sum() ** 2 / (own**2).sum())
        hardly = float((probability[:, k] < LEAST).mean())
        low, high = float(probability[:, k].min()), float(probability[:, k].max())
        found.append(Overlap(name, len(own), effective, low, high, hardly, float(own.max())))
    return found
