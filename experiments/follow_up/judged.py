"""Whether a model's predictions came true: scores at each horizon, and tests adjusted for how many there are.

Two questions of each cause and horizon. Calibration in the large: does the mean risk agree with the Aalen–Johansen
incidence? The mean of pseudo-values less risks is compared with 0; its standard error is that of these differences, or,
where it is larger, that of events which follow the risks, p (1 − p), so that a stretch without events says no more than
it can. Discrimination: is the AUC below the cross-validated one, which is taken as it stands? Its standard error is
that of the resamples or, where it is larger, that of Hanley & McNeil (Radiology 1982;143:29) at the cross-validated
AUC: with few events resamples vary too little. P-values are adjusted by Holm's method over all questions of a stretch.
An alert needs both: an adjusted p below `LEVEL`, and a difference that is worth a look.

A horizon is judged once the weights of those whose status at it is known amount to `FEWEST` patients, (Σw)² / Σw² (Kish
1965): before, a few with a long course stand for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from scipy.stats import norm

from experiments.follow_up.joined import Followed
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import FloatArray
from training.evaluation.arrays import ratio
from training.evaluation.comparison import holm
from training.evaluation.intervals import Interval
from training.evaluation.ipcw import scoring_weights
from training.evaluation.pseudo import pseudo_values
from training.evaluation.scores import HorizonScores, evaluate

LEVEL = 0.01
LARGE_RATIO = 1.25
"""Of observed to expected events, or of expected to observed."""
LARGE_LOSS = 0.05
"""Of AUC."""
FEWEST = 20
"""Patients with a known status at a horizon that is judged, as weighted."""
FEWEST_EVENTS = 10
"""And patients without the event, where an AUC is."""
Z = norm.ppf(0.975)


@dataclass(frozen=True, slots=True)
class Judged:
    """One cause of one model version at one horizon, in one stretch."""

    model: str
    first: date
    shadow: bool
    endpoint: str
    n_predicted: int
    n_known: int
    """Patients whose course is known, and who were at risk."""
    cause: str
    horizon_days: float
    n_events: int
    """Observed by the horizon."""
    o_e: Interval
    """Observed over expected incidence."""
    p_o_e: float
    """That it is 1; adjusted, NaN where not judged."""
    auc: Interval
    auc_before: float | None
    """Cross-validated on patients not trained on, of several landmarks the lowest; None where there is none."""
    p_auc: float
    """That it is not below that; adjusted, NaN where not judged."""
    brier: Interval
    ipa: Interval

    @property
    def miscalibrated(self) -> bool:
        """Whether more or fewer events came than were expected, by an amount worth a look."""
        return self.p_o_e < LEVEL and not 1 / LARGE_RATIO < self.o_e.point < LARGE_RATIO

    @property
    def discriminates_less(self) -> bool:
        """Whether those with events are told from others less well than in training, by an amount worth a look."""
        return self.p_auc < LEVEL and self.auc_before is not None and self.auc_before - self.auc.point >= LARGE_LOSS

    @property
    def alert(self) -> bool:
        """Whether somebody should look."""
        return self.miscalibrated or self.discriminates_less


def judge(followed: Followed, metrics: Mapping[str, float | None], *, n_bootstrap: int = 500) -> list[Judged]:
    """Compare one stretch's predictions with what happened; empty where too few patients' courses are known.

    Args:
        followed: The predictions and outcomes.
        metrics: Of the model's manifest.
        n_bootstrap: Resamples of patients behind the intervals.
    """
    if len(followed.patient) < FEWEST:
        return []
    endpoint = followed.endpoint
    try:
        scores = evaluate(
            followed.incidence,
            np.array(endpoint.horizons_days),
            followed.outcomes,
            endpoint.horizons_days,
            followed.patient,
            n_bootstrap=n_bootstrap,
        )
    except SequelaError:  # nobody was followed to the first horizon
        return []
    worth = np.array([effective_patients(followed.outcomes, horizon) for horizon in endpoint.horizons_days])
    p_o_e = _p_calibration(followed, worth)
    return _adjusted(
        [
            _judged(followed, of_cause.cause, at, metrics, float(p_o_e[k, j]), enough=bool(worth[j] >= FEWEST))
            for k, of_cause in enumerate(scores.causes)
            for j, at in enumerate(of_cause.horizons)
        ]
    )


def _judged(
    followed: Followed,
    cause: str,
    at: HorizonScores,
    metrics: Mapping[str, float | None],
    p_o_e: float,
    *,
    enough: bool,
) -> Judged:
    before = _auc_before(metrics, cause, at.horizon_days)
    return Judged(
        followed.model,
        followed.first,
        followed.shadow,
        followed.endpoint.name,
        followed.n_predicted,
        len(followed.patient),
        cause,
        at.horizon_days,
        at.n_events,
        at.o_e,
        p_o_e,
        at.auc,
        before,
        _p_discrimination(followed, at, before) if enough and before is not None else np.nan,
        at.brier,
        at.ipa,
    )


def effective_patients(outcomes: Outcomes, horizon: float) -> float:
    """How many equally weighted patients those are worth whose status at a horizon is known."""
    if outcomes.duration_days.max(initial=0.0) < horizon and not outcomes.cause.all():
        return 0.0  # where the last to leave has an event, that event would stand for all who were lost
    weights = scoring_weights(outcomes, np.array([horizon]))
    by_then = outcomes.duration_days <= horizon
    ended = np.where(outcomes.duration_days == horizon, weights.tied[0], 0.0)
    w = np.where(outcomes.duration_days > horizon, weights.after[0], ended)
    w = np.nan_to_num(np.where(by_then & (outcomes.cause > 0), weights.event, w))
    return float(w.sum() ** 2 / (w**2).sum()) if w.any() else 0.0


def fewest_of(outcomes: Outcomes, cause: int, horizon: float) -> int:
    """Patients with the event by a horizon, or those known to be without any after it, whichever are fewer."""
    n_events = int(((outcomes.cause == cause) & (outcomes.duration_days <= horizon)).sum())
    return min(n_events, int((outcomes.duration_days > horizon).sum()))


def _auc_before(metrics: Mapping[str, float | None], cause: str, horizon: float) -> float | None:
    """Of all landmarks the lowest: ``auc_180d/infection``, ``auc_180d_from30/infection`` and so on."""
    name = re.compile(rf"auc_{re.escape(f'{horizon:g}')}d(_from[^/]*)?/{re.escape(cause)}")
    found = [value for key, value in metrics.items() if value is not None and name.fullmatch(key)]
    return min(found, default=None)


def _p_calibration(followed: Followed, worth: FloatArray) -> FloatArray:
    """Two-sided p (causes, horizons) that mean risks are incidences; NaN where too few patients are known.

    Args:
        followed: The predictions and outcomes.
        worth: (horizons,): `effective_patients`.
    """
    risk = followed.incidence
    difference = pseudo_values(followed.outcomes, np.array(followed.endpoint.horizons_days)) - risk
    found = difference.std(axis=0, ddof=1) / np.sqrt(len(risk))
    least = np.sqrt(ratio((risk * (1 - risk)).mean(axis=0), worth))
    p: FloatArray = 2 * norm.sf(ratio(np.abs(difference.mean(axis=0)), np.maximum(found, least)))
    return np.where((worth >= FEWEST) & risk.any(axis=0), p, np.nan)


def _p_discrimination(followed: Followed, at: HorizonScores, before: float) -> float:
    """One-sided p that the AUC is at least what it was."""
    n_others = int((followed.outcomes.duration_days > at.horizon_days).sum())
    error = (at.auc.high - at.auc.low) / (2 * Z)
    if min(at.n_events, n_others) < FEWEST_EVENTS or not np.isfinite(error):
        return float("nan")
    error = max(error, _hanley_mcneil(before, at.n_events, n_others))
    return float(norm.cdf((at.auc.point - before) / error))


def _hanley_mcneil(auc: float, n_events: int, n_others: int) -> float:
    """Standard error of an AUC (eq. 1 and 2)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (n_events - 1) * (q1 - auc**2) + (n_others - 1) * (q2 - auc**2)
    return float(np.sqrt(spread / (n_events * n_others)))


def latest(judged: Iterable[Judged]) -> list[Judged]:
    """Of each endpoint's causes and horizons what was judged last; what stands in the shadow is left out."""
    last: dict[tuple[str, str, float], Judged] = {}
    for one in sorted(judged, key=lambda each: each.first):
        if not one.shadow and np.isfinite(one.p_o_e):
            last[one.endpoint, one.cause, one.horizon_days] = one
    return list(last.values())


def _adjusted(found: Sequence[Judged]) -> list[Judged]:
    """With p-values adjusted over all questions."""
    p = np.array([(one.p_o_e, one.p_auc) for one in found])
    tested = np.isfinite(p)
    p[tested] = holm(p[tested])
    return [replace(one, p_o_e=float(a), p_auc=float(b)) for one, (a, b) in zip(found, p, strict=True)]
