"""A challenger in the shadow against the champion: the same patients from the same days, differences with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from experiments.follow_up.joined import Followed
from experiments.follow_up.judged import FEWEST, FEWEST_EVENTS, effective_patients, fewest_of
from features.errors import SequelaError
from training.evaluation.comparison import Difference, holm, paired_difference


@dataclass(frozen=True, slots=True)
class Compared:
    """Challenger less champion, of one cause at one horizon."""

    champion: str
    challenger: str
    first: date
    n_patients: int
    """Predicted by both, and with a known course."""
    cause: str
    horizon_days: float
    mean_difference: float
    """Mean absolute difference of the two risks."""
    brier: Difference
    """Below 0 the challenger is better; p adjusted, NaN where too few patients are known."""
    auc: Difference
    """Above 0 the challenger is better; likewise."""


def compare(followed: Sequence[Followed], *, n_bootstrap: int = 1000, seed: int = 0) -> list[Compared]:
    """Every challenger with every champion of the same stretch and endpoint, where enough patients were seen by both.

    Args:
        followed: Predictions and outcomes of champions and challengers.
        n_bootstrap: Resamples of patients behind the intervals.
        seed: Of the resamples.
    """
    found: list[Compared] = []
    for champion, challenger in _pairs(followed):
        ours, theirs = _common(champion, challenger)
        if len(ours) >= FEWEST:
            rng = np.random.default_rng(seed)
            found += _compared(champion.take(ours), challenger.take(theirs), n_bootstrap, rng)
    stretches = dict.fromkeys(one.first for one in found)
    return [one for first in stretches for one in _adjusted([each for each in found if each.first == first])]


def _pairs(followed: Sequence[Followed]) -> Iterator[tuple[Followed, Followed]]:
    for challenger in followed:
        for champion in followed:
            same = challenger.first == champion.first and challenger.endpoint == champion.endpoint
            if challenger.shadow and not champion.shadow and same and challenger.model != champion.model:
                yield champion, challenger


def _common(champion: Followed, challenger: Followed) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both, of the same patients from the same landmarks."""
    place = {key: i for i, key in enumerate(zip(challenger.patient, challenger.landmark_day, strict=True))}
    rows = [
        (i, place[key])
        for i, key in enumerate(zip(champion.patient, champion.landmark_day, strict=True))
        if key in place
    ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _compared(
    champion: Followed, challenger: Followed, n_bootstrap: int, rng: np.random.Generator
) -> Iterator[Compared]:
    endpoint = champion.endpoint
    try:
        difference = paired_difference(
            challenger.incidence,
            champion.incidence,
            np.array(endpoint.horizons_days),
            champion.outcomes,
            champion.patient,
            rng=rng,
            horizons_days=endpoint.horizons_days,
            n_bootstrap=n_bootstrap,
        )
    except SequelaError:  # nobody was followed to the first horizon
        return
    apart = np.abs(challenger.incidence - champion.incidence).mean(axis=0)
    for j, horizon in enumerate(endpoint.horizons_days):
        enough = effective_patients(champion.outcomes, horizon) >= FEWEST
        for k, cause in enumerate(endpoint.causes):
            discriminates = enough and fewest_of(champion.outcomes, k + 1, horizon) >= FEWEST_EVENTS
            yield Compared(
                champion.model,
                challenger.model,
                champion.first,
                len(champion.patient),
                cause,
                horizon,
                float(apart[k, j]),
                _tested(difference.brier[k][j], enough=enough),
                _tested(difference.auc[k][j], enough=discriminates),
            )


def _tested(one: Difference, *, enough: bool) -> Difference:
    """Without a p-value where resamples of too few patients would make it too small."""
    return one if enough else replace(one, p=float("nan"))


def _adjusted(found: Sequence[Compared]) -> list[Compared]:
    """With p-values adjusted by Holm's method over all questions of one stretch."""
    p = holm([one.p for each in found for one in (each.brier, each.auc)]).reshape(-1, 2)
    return [
        replace(each, brier=replace(each.brier, p=float(of_brier)), auc=replace(each.auc, p=float(of_auc)))
        for each, (of_brier, of_auc) in zip(found, p, strict=True)
    ]
