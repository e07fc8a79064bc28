"""Measures had everyone been in one arm: by inverse probability weights, and doubly robust."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge  # type: ignore[import-untyped]

from training.effects.arms import Arms, FloatArray, IntArray
from training.effects.estimates import NAN, difference, ratio
from training.effects.propensity import own_probability, propensities, scores_of, stabilised_weights
from training.effects.risks import Measure, Table, table_of

FOLDS = 5
PENALTY = 1.0
"""Of the ridge regression of pseudo-values on standardised covariates."""
NOTHING = 1e-12
"""A standard error below this is rounding."""


@dataclass(frozen=True, slots=True)
class Standardised:
    """A measure, had everyone been in each of the arms, with each patient's influence on it."""

    points: FloatArray
    """(arms, causes, horizons)."""
    influence: FloatArray
    """(arms, patients, causes, horizons): sums of squares over patients are variances."""

    def tables(self, measure: Measure) -> tuple[Table, ...]:
        """By arm."""
        errors = self._error(self.influence)
        return tuple(table_of(*one, measure.estimate) for one in zip(self.points, errors, strict=True))

    def differences(self) -> tuple[Table, ...]:
        """Each arm less the first."""
        errors = self._contrast_error(self.influence)
        return tuple(table_of(*one, difference) for one in zip(self.points[1:] - self.points[0], errors, strict=True))

    def ratios(self) -> tuple[Table, ...]:
        """Each arm over the first, with intervals on the logarithm; NaN where one of them is not positive."""
        positive = (self.points[1:] > 0) & (self.points[0] > 0)
        safe = np.where(self.points > 0, self.points, 1.0)
        relative = self.influence / safe[:, None]
        errors = self._contrast_error(relative)
        logs = np.where(positive, np.log(safe[1:] / safe[0]), np.nan)
        return tuple(table_of(*one, ratio) for one in zip(logs, errors, strict=True))

    @classmethod
    def _contrast_error(cls, influence: FloatArray) -> FloatArray:
        """Of each arm against the first; NaN where nobody of one had the event, so that its own error is not known."""
        known = cls._error(influence) > NOTHING
        return np.where(known[1:] & known[0], cls._error(influence[1:] - influence[:1]), NAN)

    @staticmethod
    def _error(influence: FloatArray) -> FloatArray:
        error: FloatArray = np.sqrt((influence**2).sum(axis=1))
        return error


def weighted(arms: Arms, x: FloatArray, measure: Measure, horizons_days: FloatArray) -> Standardised:
    """By inverse probability weights (Cole & Hernán, Comput Methods Programs Biomed 2004;75:45).

    The weighted Aalen–Johansen estimate of an arm is that of all patients, had they been in it, if the covariates hold
    all that the arm and the outcome have in common, if everyone could have been in every arm, and if censoring is
    independent within an arm. A patient's influence is that on the weighted estimate less its projection on the score
    of the propensity model, which makes the standard error that of estimated weights (Lunceford & Davidian, Stat Med
    2004;23:2937).

    Args:
        arms: Patients observed from 0 on.
        x: (patients, covariates), standardised.
        measure: Risk or time lost.
        horizons_days: (horizons,)
    """
    probability = propensities(x, arms.arm)
    weights = stabilised_weights(probability, arms.arm)
    scores = scores_of(x, probability, arms.arm)
    points, influence = [], []
    for k in range(len(arms.names)):
        rows = arms.rows(k)
        outcomes = arms.outcomes.take(rows)
        points.append(measure.value(outcomes, horizons_days, weights[rows]))
        own = np.zeros((len(arms), *points[-1].shape))
        own[rows] = weights[rows, None, None] * measure.influence(outcomes, horizons_days, weights[rows])
        influence.append(less_projection(own, scores))
    return Standardised(np.stack(points), np.stack(influence))


def less_projection(influence: FloatArray, scores: FloatArray) -> FloatArray:
    """What of the influence (patients, …) the scores (patients, parameters) do not explain."""
    flat = influence.reshape(len(influence), -1)
    coefficients, *_ = np.linalg.lstsq(scores, flat, rcond=None)
    rest: FloatArray = (flat - scores @ coefficients).reshape(influence.shape)
    return rest


def doubly_robust(
    arms: Arms, x: FloatArray, measure: Measure, horizons_days: FloatArray, *, rng: np.random.Generator
) -> Standardised:
    """By weights and by regression together: right if one of the two models is.

    Augmented inverse probability weighting (Robins, Rotnitzky & Zhao, JASA 1994;89:846) of pseudo-values within each
    arm, in the place of outcomes that censoring hides (Andersen, Syriopoulou & Parner, Stat Med 2017;36:2669; Wang,
    Pharm Stat 2018;17:38). Both models are fitted to other patients than they are asked about (cross-fitting;
    Chernozhukov et al., Econom J 2018;21:C1). Pseudo-values are taken as if they were observed; censoring is assumed
    independent within an arm.

    Points are NaN where the mean is no possible value, such as a risk below 0: few patients stand for too many.

    Args:
        arms: Patients observed from 0 on.
        x: (patients, covariates), standardised.
        measure: Risk or time lost.
        horizons_days: (horizons,)
        rng: Deals the patients to folds.
    """
    fold = folds(arms.arm, rng)
    points, influence = [], []
    own = own_probability(cross_fitted(x, arms.arm, fold), arms.arm)
    for k in range(len(arms.names)):
        rows = arms.rows(k)
        pseudo = _pseudo_values(arms, rows, measure, horizons_days)
        expected = expected_out_of_fold(x, rows, pseudo.reshape(len(rows), -1), fold).reshape(
            len(arms), *pseudo.shape[1:]
        )
        expected = np.clip(expected, 0.0, measure.most(horizons_days))  # a line leads out of what is possible
        value = expected.copy()
        value[rows] += (pseudo - expected[rows]) / own[rows, None, None]
        points.append(value.mean(axis=0))
        influence.append((value - points[-1]) / len(arms))
    return Standardised(possible(np.stack(points), measure, horizons_days), np.stack(influence))


def possible(points: FloatArray, measure: Measure, horizons_days: FloatArray) -> FloatArray:
    """Points (…, horizons), NaN where the measure cannot have that value; what rounding does is forgiven."""
    most = measure.most(horizons_days)
    within = (points >= -NOTHING * most) & (points <= (1 + NOTHING) * most)
    return np.where(within, np.clip(points, 0.0, most), NAN)


def cross_fitted(x: FloatArray, arm: IntArray, fold: IntArray) -> FloatArray:
    """(patients, arms): probability of each arm, from a model of the patients of the other folds."""
    probability = np.empty((len(arm), int(arm.max()) + 1))
    for number in range(FOLDS):
        rest = fold != number
        probability[~rest] = propensities(x[rest], arm[rest], x[~rest])
    return probability


def _pseudo_values(arms: Arms, rows: IntArray, measure: Measure, horizons_days: FloatArray) -> FloatArray:
    """(rows of the arm, causes, horizons)."""
    outcomes = arms.outcomes.take(rows)
    return measure.value(outcomes, horizons_days, None) + len(rows) * measure.influence(outcomes, horizons_days, None)


def expected_out_of_fold(x: FloatArray, rows: IntArray, pseudo: FloatArray, fold: IntArray) -> FloatArray:
    """(patients, outcomes): what a regression on an arm's patients of the other folds expects of each patient."""
    found = np.empty((len(x), pseudo.shape[1]))
    for number in range(FOLDS):
        others = fold[rows] != number
        model = Ridge(alpha=PENALTY).fit(x[rows[others]], pseudo[others])
        found[fold == number] = model.predict(x[fold == number]).reshape(-1, pseudo.shape[1])
    return found


def folds(arm: IntArray, rng: np.random.Generator) -> IntArray:
    """(patients,): a fold for each, every arm dealt evenly."""
    fold = np.empty(len(arm), dtype=np.int64)
    for k in np.unique(arm):
        rows = rng.permutation(np.flatnonzero(arm == k))
        fold[rows] = np.arange(len(rows)) % FOLDS
    return fold
