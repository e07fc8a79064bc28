"""Expected numbers of recurrent events whose ridge penalty is chosen on the training rows, patients kept whole."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.mean_count_fit import FloatArray, Likelihood, Stratum, fit_by_landmark
from training.models.expected_counts import ExpectedCounts
from training.models.mean_count import ProportionalMeans
from training.models.penalised_fit import FEWEST_EVENTS, folds_of, reduce_features

PENALTIES = tuple(float(p) for p in np.geomspace(1.0, 30_000.0, 10))
"""Candidates, in units of the pseudo log-likelihood of standardised features. The strongest is ten times that of Cox
models: events of one patient are alike, so that many of them tell less than as many patients would."""


def fit_counts(
    strata: Mapping[float, Stratum],
    patient_id: Mapping[float, NDArray[np.object_]],
    *,
    penalty: float | None,
    seed: int,
) -> ExpectedCounts:
    """Fit `training.mean_count_fit.fit_by_landmark` under a penalty that is given, or chosen here.

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
    if penalty is None:
        groups = folds_of(np.concatenate([patient_id[day] for day in strata]), seed)
        penalty = choose_penalty(rotated, dict(zip(strata, np.split(groups, lengths), strict=True)))
    fitted = fit_by_landmark(rotated, penalty=penalty)
    beta = back @ fitted.beta
    means = tuple(ProportionalMeans(beta, one.times_days, one.increments, penalty) for one in fitted.means)
    return ExpectedCounts(fitted.landmark_days, means)


def choose_penalty(strata: Mapping[float, Stratum], groups: Mapping[float, NDArray[np.int64]]) -> float:
    """The candidate of the best cross-validated pseudo-likelihood, ℓ(β₋ₖ) − ℓ₋ₖ(β₋ₖ) summed over inner folds k.

    Verweij & van Houwelingen (Stat Med 1993;12:2305–2314) for the partial likelihood, whose place the pseudo-likelihood
    of Ghosh and Lin's equation takes.

    Args:
        strata: For each landmark day, standardised features (rows, features) and events of the rows.
        groups: For each, fold (rows,) of each row; all rows of a patient share one.
    """
    if sum(len(recurrences.day) for _, recurrences in strata.values()) < FEWEST_EVENTS:
        return PENALTIES[-1]
    whole = Likelihood(list(strata.values()))
    n_features = next(iter(strata.values()))[0].shape[1]
    score: FloatArray = np.zeros(len(PENALTIES))
    for fold in np.unique(np.concatenate(list(groups.values()))):
        kept = {day: np.flatnonzero(groups[day] != fold) for day in strata}
        part = Likelihood(
            [(x[kept[day]], recurrences.take(kept[day])) for day, (x, recurrences) in strata.items() if len(kept[day])]
        )
        beta = np.zeros(n_features)
        for i in reversed(range(len(PENALTIES))):  # from the strongest penalty on: each start is near its end
            beta = part.maximise(PENALTIES[i], beta)
            score[i] += whole.value(beta) - part.value(beta)
    return PENALTIES[int(score.argmax())]
