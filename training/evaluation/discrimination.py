"""Whether those who meet the event are the ones with the higher predicted risk: AUC at a time, and concordance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import check_prediction, ratio
from training.evaluation.ipcw import ScoringWeights, scoring_weights

PAIRS_AT_ONCE = 4_000_000
"""Cases × rows compared in one block: bounds memory at 10,000 patients and more."""


def auc(
    incidence: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    weights: ScoringWeights | None = None,
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

    Returns:
        (..., causes, times); NaN where there are no cases, no controls, or nothing is known.

    Raises:
        ValueError: Shapes that do not fit, or values that are not finite.
    """
    check_prediction(incidence, times_days, outcomes)
    weights = scoring_weights(outcomes, times_days) if weights is None else weights
    n_causes = len(outcomes.causes)
    found = np.empty((*weights.row.shape[:-1], n_causes, len(times_days)))
    for j, time in enumerate(times_days):
        by_now = np.where(outcomes.duration_days <= time, weights.event, 0.0)
        leaving = (outcomes.duration_days == time) & (outcomes.cause == 0)
        free = np.where(outcomes.duration_days > time, weights.after[..., j, None], 0.0)
        free = weights.row * np.where(leaving, weights.tied[..., j, None], free)
        for index in range(n_causes):
            is_cause = outcomes.cause == index + 1
            cases, controls = by_now * is_cause, by_now * ~is_cause + free
            found[..., index, j] = _ordered_share(incidence[:, index, j], cases, controls)
            found[..., index, j] += 0.0 * weights.after[..., j]  # NaN where nothing is known, even without survivors
    return found


def concordance(
    risk: NDArray[np.float64], outcomes: Outcomes, tau_days: float, weights: ScoringWeights | None = None
) -> NDArray[np.float64]:
    """Cause-specific concordance up to tau: do rows with the event earlier have the higher risk?

    Over pairs (i, j) in which i has cause k at T_i ≤ tau: comparable if j is followed longer (weight
    1 / (G(T_i−) G(T_i))) or had another cause by T_i (weight 1 / (G(T_i−) G(T_j−))); concordant if risk_i > risk_j,
    equal risks count one half (Wolbers et al., Biostatistics 2014;15:526–539). A row censored on the day of an
    event counts as followed longer. Equal to `pec::cindex` with the marginal censoring model and its defaults, except
    where G becomes 0 on the day of an event: pec divides by 0 there, here G(T_i−) stands for G(T_i).

    Args:
        risk: (rows, causes), e.g. the incidence at the last horizon; only its order matters.
        outcomes: What happened to the rows.
        tau_days: Events after it do not open a pair.
        weights: From `scoring_weights` for these rows, with any times; None: those of the rows themselves.

    Returns:
        (..., causes); NaN where there is no comparable pair.

    Raises:
        ValueError: Shapes that do not fit, or values that are not finite.
    """
    at_tau = np.array([tau_days])
    check_prediction(risk[..., None], at_tau, outcomes)
    weights = scoring_weights(outcomes, at_tau) if weights is None else weights
    causes = range(len(outcomes.causes))
    return np.stack([_cause_concordance(risk[:, k], k + 1, outcomes, tau_days, weights) for k in causes], axis=-1)


def _ordered_share(
    marker: NDArray[np.float64], cases: NDArray[np.float64], controls: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted share (...) of case–control pairs in which the case has the higher marker, ties one half."""
    order = np.argsort(marker, kind="stable")
    ordered = marker[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    case = np.add.reduceat(cases[..., order], starts, axis=-1)
    control = np.add.reduceat(controls[..., order], starts, axis=-1)
    below = np.cumsum(control, axis=-1) - 0.5 * control
    return ratio((case * below).sum(axis=-1), case.sum(axis=-1) * control.sum(axis=-1))


def _cause_concordance(
    risk: NDArray[np.float64], cause: int, outcomes: Outcomes, tau_days: float, weights: ScoringWeights
) -> NDArray[np.float64]:
    """Concordance (...) of one cause: matrix products over blocks of cases, one row of them for each resample."""
    is_competing = (outcomes.cause > 0) & (outcomes.cause != cause)
    cases = np.flatnonzero((outcomes.cause == cause) & (outcomes.duration_days <= tau_days))
    competing = np.flatnonzero(is_competing)
    # The weight of a pair is a product of one factor of the case and one of the other row.
    opens = weights.event[..., cases]
    lasting = opens * np.nan_to_num(weights.at_event_times(outcomes.duration_days[cases]))
    concordant = np.zeros(weights.row.shape[:-1])
    pairs = np.zeros_like(concordant)
    block = max(1, PAIRS_AT_ONCE // len(outcomes))
    for start in range(0, len(cases), block):
        part = slice(start, start + block)
        case = cases[part]
        time = outcomes.duration_days[case, None]
        longer = (outcomes.duration_days > time) | ((outcomes.duration_days == time) & (outcomes.cause == 0))
        before = outcomes.duration_days[competing] <= time
        for factor, other, comparable, rows in (
            (lasting, weights.row, longer, slice(None)),
            (opens, weights.event[..., competing], before, competing),
        ):
            order = (np.sign(risk[case, None] - risk[rows]) + 1) / 2
            pairs += ((factor[..., part] @ comparable.astype(np.float64)) * other).sum(axis=-1)
            concordant += ((factor[..., part] @ (order * comparable)) * other).sum(axis=-1)
    return ratio(concordant, pairs)
