"""Expected numbers of recurrent events whose ridge penalty is chosen on the training rows, patients kept whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from training.fitting.mean_count import FloatArray, Likelihood, Stratum, fit_by_landmark
from training.models.expected_counts import ExpectedCounts
from training.models.mean_count import ProportionalMeans
from training.models.penalised_fit import FEWEST_EVENTS, folds_of, reduce_features

PENALTIES = tuple(float(p) for p in np.geomspace(1.0, 30_000.0, 10))
"""Candidates, in units of the pseudo log-likelihood of standardised features. The strongest is ten times that of Cox
models: events of one patient are alike, so that many of them tell less than as many patients would."""
DEALS = 5
"""Of patients to inner folds. With one, effects found in 128 patients of a trial with 76 infections were so strong by
chance that foretold numbers were up to 57 % worse than the mean for everyone; with five, 10 %."""


def fit_counts(
    strata: Mapping[float, Stratum],
    patient_id: Mapping[float, NDArray[np.object_]],
    *,
    penalty: float | None,
    seed: int,
) -> ExpectedCounts:
    """Fit `training.fitting.mean_count.fit_by_landmark` under a penalty that is given, or chosen here.

    Args:
        strata: For each landmark day, standardised features (rows, features) and events of the rows.
        patient_id: For each landmark day, (rows,).
        penalty: Ridge penalty, in units of the pseudo log-likelihood; None: chosen by `choose_penalty`.
        seed: Of the inner folds.

    Raises:
        SequelaError: There is no event.
    """
    # More features than rows are rotated into the rows' space, where the ridge solution lies.
    lengths = np.cumsum([len(x) for x, _ in strata.values()])[:-1]
    reduced, back = reduce_features(np.concatenate([x for x, _ in strata.values()]))
    parts = zip(strata.items(), np.split(reduced, lengths), strict=True)
    rotated = {day: (x, recurrences) for (day, (_, recurrences)), x in parts}
    with threadpool_limits(1):  # threads wait for one another longer than such matrices take
        if penalty is None:
            ids = np.concatenate([patient_id[day] for day in strata])
            deals = [np.split(folds_of(ids, seed + number), lengths) for number in range(DEALS)]
            penalty = choose_penalty(rotated, [dict(zip(strata, deal, strict=True)) for deal in deals])
        fitted = fit_by_landmark(rotated, penalty=penalty)
    beta = back @ fitted.beta
    means = tuple(ProportionalMeans(beta, one.times_days, one.increments, penalty) for one in fitted.means)
    return ExpectedCounts(fitted.landmark_days, means)


def choose_penalty(strata: Mapping[float, Stratum], deals: Sequence[Mapping[float, NDArray[np.int64]]]) -> float:
    """The candidate of the best cross-validated pseudo-likelihood, ℓ(β₋ₖ) − ℓ₋ₖ(β₋ₖ) summed over inner folds k.

    Verweij & van Houwelingen (Stat Med 1993;12:2305–2314) for the partial likelihood, whose place the pseudo-likelihood
    of Ghosh and Lin's equation takes.

    Args:
        strata: For each landmark day, standardised features (rows, features) and events of the rows.
        deals: For each deal of patients to folds and each landmark day, fold (rows,) of each row; all rows of a patient
            share one.
    """
    if sum(len(recurrences.day) for _, recurrences in strata.values()) < FEWEST_EVENTS:
        return PENALTIES[-1]
    whole = Likelihood(list(strata.values()))
    score = sum((_of_deal(whole, strata, groups) for groups in deals), np.zeros(len(PENALTIES)))
    return PENALTIES[int(score.argmax())]


def _of_deal(
    whole: Likelihood, strata: Mapping[float, Stratum], groups: Mapping[float, NDArray[np.int64]]
) -> FloatArray:
    """(penalties,): the criterion of one deal; −∞ of the weak ones, which are the slowest, after two falls in a row."""
    parts = []
    for fold in np.unique(np.concatenate(list(groups.values()))):
        kept = {day: np.flatnonzero(groups[day] != fold) for day in strata}
        parts.append(Likelihood([(x[kept[day]], events.take(kept[day])) for day, (x, events) in strata.items()]))
    betas = [np.zeros(next(iter(strata.values()))[0].shape[1])] * len(parts)
    score = np.full(len(PENALTIES), -np.inf)
    for i in reversed(range(len(PENALTIES))):  # from the strongest on: each start is near its end
        penalty = PENALTIES[i]
        betas = [part.maximise(penalty, beta, tolerance=1e-7) for part, beta in zip(parts, betas, strict=True)]
        score[i] = sum(whole.value(beta) - part.value(beta) for part, beta in zip(parts, betas, strict=True))
        if i + 2 < len(PENALTIES) and score[i] < score[i + 1] < score[i + 2]:
            break
    return score
