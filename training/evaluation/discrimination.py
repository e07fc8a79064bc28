"""Whether those who meet the event are the ones with the higher predicted risk: AUC at a time, and concordance.

Out of fold, only patients of one fold are compared. Each fold has a model of its own, and whoever was left out of its
training shifts the mean of its risks the other way: across folds, a model that knows nothing seems to order patients
the wrong way round, and one that shrinks its risks worse than one that does not (Parker, Günter & Bedo, BMC
Bioinformatics 2007;8:326; Airola et al., Comput Stat Data Anal 2011;55:1828–1844).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import changes, check_prediction, ratio, running_sums
from training.evaluation.dominance import Side, dominated
from training.evaluation.ipcw import ScoringWeights, scoring_weights


def auc(
    incidence: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    weights: ScoringWeights | None = None,
    fold: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Cumulative/dynamic AUC of the risk at each time, for each cause.

    P(risk of a case > risk of a control) + ½ P(equal). Cases had cause k by t; controls are event-free at t or had
    another cause by t (definition (ii) of Blanche, Dartigues & Jacqmin-Gadda, Stat Med 2013;32:5381–5397; the one of
    `riskRegression::Score`). Weighted as in `training.evaluation.ipcw`; cost O(n log n).

    Args:
        incidence: (rows, causes, times), predicted.
        times_days: (times,), ascending.
        outcomes: What happened to the rows.
        weights: From `scoring_weights` for these rows and times; None: those of the rows themselves.
        fold: (rows,): whose model predicted the row; only rows of one fold are compared. None: one model's.

    Returns:
        (..., causes, times); NaN where there are no cases, no controls, or nothing is known.

    Raises:
        ValueError: Shapes that do not fit, or values that are not finite.
    """
    check_prediction(incidence, times_days, outcomes)
    weights = scoring_weights(outcomes, times_days) if weights is None else weights
    n_causes = len(outcomes.causes)
    found = np.empty((*weights.row.shape[:-1], n_causes, len(times_days)))
    for j in range(len(times_days)):
        by_now, free = known_status(outcomes, weights, j)
        for index in range(n_causes):
            is_cause = outcomes.cause == index + 1
            cases, controls = by_now * is_cause, by_now * ~is_cause + free
            found[..., index, j] = _ordered_share(incidence[:, index, j], cases, controls, fold)
            found[..., index, j] += 0.0 * weights.after[..., j]  # NaN where nothing is known, even without survivors
    return found


def known_status(
    outcomes: Outcomes, weights: ScoringWeights, j: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What rows (..., rows) count at the j-th time: those that have met a cause by then, and those free of all."""
    time = weights.times_days[j]
    by_now = np.where(outcomes.duration_days <= time, weights.event, 0.0)
    leaving = (outcomes.duration_days == time) & (outcomes.cause == 0)
    free = np.where(outcomes.duration_days > time, weights.after[..., j, None], 0.0)
    return by_now, weights.row * np.where(leaving, weights.tied[..., j, None], free)


def concordance(
    risk: NDArray[np.float64],
    outcomes: Outcomes,
    tau_days: float,
    weights: ScoringWeights | None = None,
    fold: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Cause-specific concordance up to tau: do rows with the event earlier have the higher risk?

    Over pairs (i, j) in which i has cause k at T_i ≤ tau: comparable if j is followed longer (weight
    1 / (G(T_i−) G(T_i))) or had another cause by T_i (weight 1 / (G(T_i−) G(T_j−))); concordant if risk_i > risk_j,
    equal risks count one half (Wolbers et al., Biostatistics 2014;15:526–539). Exact, in O(n log n). A row censored on
    the day of an event counts as followed longer. Equal to `pec::cindex` with the marginal censoring model and its
    defaults, except where G becomes 0 on the day of an event: pec divides by 0 there, here G(T_i−) stands for G(T_i).

    Args:
        risk: (rows, causes), e.g. the incidence at the last horizon; only its order matters.
        outcomes: What happened to the rows.
        tau_days: Events after it do not open a pair.
        weights: From `scoring_weights` for these rows, with any times; None: those of the rows themselves.
        fold: (rows,): whose model predicted the row; only rows of one fold are compared. None: one model's.

    Returns:
        (..., causes); NaN where there is no comparable pair.

    Raises:
        ValueError: Shapes that do not fit, or values that are not finite.
    """
    at_tau = np.array([tau_days])
    check_prediction(risk[..., None], at_tau, outcomes)
    weights = scoring_weights(outcomes, at_tau) if weights is None else weights
    # Resamples last: the sums then run over rows of contiguous memory.
    row, event = np.ascontiguousarray(weights.row.T), np.ascontiguousarray(weights.event.T)
    found = []
    for index in range(len(outcomes.causes)):
        is_case = (outcomes.cause == index + 1) & (outcomes.duration_days <= tau_days)
        is_competing = (outcomes.cause > 0) & (outcomes.cause != index + 1)
        lasting = np.zeros_like(event)
        lasting[is_case] = event[is_case] * np.nan_to_num(weights.at_event_times(outcomes.duration_days[is_case]).T)
        stage, marker = _stages(outcomes, index + 1), risk[:, index]
        everyone = Side(np.ones(len(outcomes), dtype=np.bool_), row)
        lasted, had_other = Side(is_case, lasting), Side(is_competing, event)
        longer = dominated(stage, marker, lasted, everyone, opener_is_earlier=True, group=fold)
        before = dominated(stage, marker, Side(is_case, event), had_other, opener_is_earlier=False, group=fold)
        found.append(ratio(longer.concordant + before.concordant, longer.total + before.total))
    return np.stack(found, axis=-1)


def _stages(outcomes: Outcomes, cause: int) -> NDArray[np.int64]:
    """Time (rows,) as ranks, on each day first the other causes, then the cases, then the censorings.

    So a case has exactly the later rows as followed longer, and of other causes exactly the earlier ones before it.
    """
    _, day = np.unique(outcomes.duration_days, return_inverse=True)
    within_day = np.select([outcomes.cause == 0, outcomes.cause == cause], [2, 1], default=0)
    _, stage = np.unique(3 * day + within_day, return_inverse=True)
    return stage.astype(np.int64)


def _ordered_share(
    marker: NDArray[np.float64],
    cases: NDArray[np.float64],
    controls: NDArray[np.float64],
    fold: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """Weighted share (...) of case–control pairs of one fold in which the case has the higher marker, ties one half."""
    fold = np.zeros(len(marker), dtype=np.int64) if fold is None else fold
    order = np.lexsort((marker, fold))
    new_fold = changes(fold[order])
    starts = np.flatnonzero(new_fold | changes(marker[order]))
    case = np.add.reduceat(cases[..., order], starts, axis=-1)
    control = np.add.reduceat(controls[..., order], starts, axis=-1)
    running = running_sums(control)
    first = np.flatnonzero(new_fold[starts])
    bounds = np.append(first, len(starts))
    begin, end = (np.repeat(running[..., edge], np.diff(bounds), axis=-1) for edge in (bounds[:-1], bounds[1:]))
    # Differences first: where all markers are equal, this is exactly half of the pairs.
    below = ((running[..., :-1] - begin) + (running[..., 1:] - begin)) / 2
    return ratio((case * below).sum(axis=-1), (case * (end - begin)).sum(axis=-1))
