"""Where the tiers of an endpoint begin: as it says, or where, of a range that it says, acting is shown to be of use.

Within a range each whole percent is a candidate. The lowest stands from which acting is shown to be worth more than the
better of acting on all and on nobody, whichever is better at each landmark: the lower end of its interval, which holds
for the candidates of all tiers at once, lies above 0 (`training.evaluation.threshold_search`). It is the lowest, not
that of the largest net benefit, since net benefits at different thresholds weigh harms differently and are not to be
compared (Kerr et al., J Clin Oncol 2016;34:2534–2540). Where none is shown the least of the range stands, and is said
to be not shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from experiments.config import RunConfig
from experiments.data import TrainingRows
from experiments.out_of_fold import OutOfFold
from experiments.scoring import scored_rows
from experiments.usefulness import curve_of
from features.schema import Decision, Endpoint, Frozen, Tier
from training.artifact.manifest import ThresholdBenefit, TierThreshold
from training.evaluation.intervals import Interval
from training.evaluation.threshold_search import Predicted, searched_gains

THRESHOLDS = "thresholds.json"
RESAMPLES = 500
"""Of patients, at least: a quantile of maxima takes more of them than intervals do."""
Triple = tuple[float, float, float]


class Settled(Frozen):
    """The tiers of an endpoint with their thresholds, and what acting by them was worth."""

    decision: Decision
    """Every threshold is a number."""
    thresholds: tuple[TierThreshold, ...]
    """Of each tier above the lowest."""
    benefits: tuple[ThresholdBenefit, ...]
    """Of each landmark and threshold."""


@dataclass(frozen=True, slots=True)
class _Search:
    """What was found at the candidates of all tiers."""

    overall: dict[float, Interval]
    by_landmark: dict[float, dict[float, Interval]]


def settle_thresholds(rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig) -> Settled | None:
    """Set the thresholds of the endpoint from predictions of patients not trained on; None where it has no tiers."""
    decision = rows.endpoint.decision
    if decision is None:
        return None
    search = _search(rows, out_of_fold, config, decision)
    thresholds = tuple(_settled(tier, search) for tier in decision.tiers[1:])
    settled = decision.settle([one.threshold for one in thresholds])
    return Settled(
        decision=settled,
        thresholds=thresholds,
        benefits=tuple(_benefits(rows, out_of_fold, config, decision.horizon_days, thresholds, search)),
    )


def with_decision(endpoint: Endpoint, settled: Settled | None) -> Endpoint:
    """The endpoint with thresholds that are numbers."""
    return endpoint if settled is None else endpoint.model_copy(update={"decision": settled.decision})


def _search(rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig, decision: Decision) -> _Search:
    """Gains at every candidate, over all landmarks and at each; of the first repeat's predictions."""
    candidates = tuple(risk for tier in decision.tiers for risk in tier.candidates)
    if not candidates:
        return _Search({}, {})
    by_day = {day: scored_rows(rows, out_of_fold, day) for day in rows.endpoint.landmark_days}

    def gains(at: np.ndarray) -> dict[float, Interval]:
        last = int(np.searchsorted(out_of_fold.times_days, decision.horizon_days))
        of = Predicted(
            out_of_fold.incidence[0, at, 0, last],
            rows.outcomes.take(at),
            1,
            decision.horizon_days,
            rows.patients.patient_id[at],
            rows.patients.landmark_day[at],
        )
        n_bootstrap = max(RESAMPLES, config.validation.bootstrap)
        found = searched_gains(of, candidates, rng=np.random.default_rng(config.seed), n_bootstrap=n_bootstrap)
        return dict(zip(candidates, found, strict=True))

    return _Search(gains(np.concatenate(list(by_day.values()))), {day: gains(at) for day, at in by_day.items()})


def _settled(tier: Tier, search: _Search) -> TierThreshold:
    """The threshold of one tier, by the rule above."""
    if not tier.candidates:
        return TierThreshold(tier=tier.name, threshold=tier.bounds[0], how="given")
    shown = next((risk for risk in tier.candidates if search.overall[risk].low > 0), None)
    threshold = tier.candidates[0] if shown is None else shown
    return TierThreshold(
        tier=tier.name,
        threshold=threshold,
        how="not_shown" if shown is None else "chosen",
        accepted=tier.bounds,
        gain=_known(search.overall[threshold]),
        at_once=len(search.overall),
    )


def _benefits(
    rows: TrainingRows,
    out_of_fold: OutOfFold,
    config: RunConfig,
    horizon_days: float,
    thresholds: tuple[TierThreshold, ...],
    search: _Search,
) -> Iterator[ThresholdBenefit]:
    """At each landmark; where a threshold was searched, with the interval that holds for all of them at once."""
    levels = [one.threshold for one in thresholds]
    for day in rows.endpoint.landmark_days:
        curve = curve_of(rows, out_of_fold, config, day, horizon_days, levels)
        for one, at in zip(thresholds, curve, strict=True):
            gain = at.gain if one.how == "given" else search.by_landmark[day][one.threshold]
            yield ThresholdBenefit(
                landmark_day=day,
                threshold=one.threshold,
                flagged=at.treated,
                gain=_known(gain),
                at_once=one.at_once,
            )


def _known(gain: Interval) -> Triple | None:
    """None without bounds."""
    found = gain.point, gain.low, gain.high
    return found if all(map(math.isfinite, found)) else None
