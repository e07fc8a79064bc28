"""Whom the endpoint's tiers, and thresholds about them, select: the numbers, and which of them may be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.page.arms import Predicted
from experiments.page.privacy import Disclosure
from experiments.risk_groups import DIGITS
from experiments.run_page.record import AtLandmark, RunRecord
from experiments.run_page.subgroups import LEAST_PATIENTS, levels_in_order
from experiments.usefulness import THIRDS
from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray
from training.effects.arms import Arms
from training.evaluation.arrays import at_horizons
from training.evaluation.calibration import observed_risk
from training.evaluation.intervals import Interval
from training.evaluation.observed import risk_by
from training.evaluation.patient_selection import Selected, around, selections


@dataclass(frozen=True, slots=True)
class TierOfRisk:
    """The patients of one tier, and what is predicted and observed of them by the horizon, by cause."""

    name: str
    from_risk: float
    n_patients: int
    predicted: FloatArray
    """(causes,): mean cumulative incidence; NaN of nobody."""
    observed: tuple[Interval, ...]
    """Aalen–Johansen, with intervals symmetric in log(−log(1 − F))."""
    told: tuple[bool, ...]
    """Of each cause, whether the observed incidence may be shown; always of the event of interest."""


@dataclass(frozen=True, slots=True)
class GroupSelected:
    """Whom thresholds select within one group of patients."""

    variable: str
    level: str
    n_patients: int
    at: tuple[Selected | None, ...]
    """At each of `Selection.thresholds`; None: too few patients, or withheld."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Selection at one landmark."""

    day: float
    horizon_days: float
    declared: bool
    """Whether the tiers are the endpoint's; if not they are thirds of the predicted risk."""
    thresholds: tuple[float, ...]
    """Where tiers begin, ascending; those that may be told."""
    n_withheld: int
    """Thresholds of tiers that may not be."""
    at: tuple[Selected, ...]
    """At `thresholds` and about them, ascending."""
    tiers: tuple[TierOfRisk, ...]
    arms: Arms | None
    """Patients by tier, of the tiers that have any; None for fewer than two."""
    predicted: Predicted | None
    """Of `arms`."""
    groups: tuple[GroupSelected, ...]

    def of(self, threshold: float) -> Selected:
        """Everyone's selection at one of the thresholds."""
        return next(one for one in self.at if one.threshold == threshold)


def selection_at(
    record: RunRecord, at: AtLandmark, labels: Mapping[str, NDArray[np.object_]], shown: Disclosure, n_bootstrap: int
) -> Selection | None:
    """Selection by the out-of-fold risk of the event of interest, of the first repeat, at one landmark.

    None where the counts of events are too small to be told.

    Args:
        record: The run, with its endpoint and seed.
        at: The scored rows.
        labels: The group of each row by variable, see `experiments.run_page.subgroups.group_labels`.
        shown: What may be told.
        n_bootstrap: Resamples of patients.
    """
    decision = record.rows.endpoint.decision
    horizon_days = record.horizon_days if decision is None else decision.horizon_days
    incidence = at_horizons(at.incidence, at.times_days, np.array([horizon_days]))[..., 0]
    risk = incidence[:, 0]
    happened = (at.outcomes.cause == 1) & (at.outcomes.duration_days <= horizon_days)
    if not tellable([], risk, happened, shown):
        return None
    if decision is None:
        names, starts = _thirds(risk)
    else:
        names, starts = tuple(tier.name for tier in decision.tiers), decision.thresholds
    thresholds = tellable_of(starts, [], risk, happened, shown)
    every = tellable_of(around(starts), thresholds, risk, happened, shown)

    def select(rows: IntArray, levels: Sequence[float]) -> list[Selected]:
        rng = np.random.default_rng(record.config.seed)
        of = at.outcomes.take(rows)
        return selections(
            risk[rows], of, 1, horizon_days, levels, at.patient_id[rows], rng=rng, n_bootstrap=n_bootstrap
        )

    groups: list[GroupSelected] = []
    for variable, of_row in labels.items():
        members = {level: np.flatnonzero(of_row == level) for level in levels_in_order(of_row)}
        told = _told_by_level(list(members.values()), thresholds, risk, happened, shown)
        for (level, rows), own in zip(members.items(), told, strict=True):
            found = {one.threshold: one for one in (select(rows, own) if len(rows) >= LEAST_PATIENTS else [])}
            groups.append(GroupSelected(variable, level, len(rows), tuple(map(found.get, thresholds))))
    named = _joined_names(names, starts, thresholds)
    tier = np.searchsorted(thresholds, risk, side="right")
    occupied = [k for k in range(len(named)) if (tier == k).any()]
    arms, predicted = None, None
    if len(occupied) > 1:
        arms = Arms(at.outcomes, np.searchsorted(occupied, tier), tuple(named[k] for k in occupied))
        predicted = Predicted(at.times_days, np.stack([at.incidence[tier == k].mean(axis=0) for k in occupied]))
    return Selection(
        at.day,
        horizon_days,
        decision is not None,
        tuple(thresholds),
        len(starts) - len(thresholds),
        tuple(select(np.arange(len(risk)), every)),
        _tiers(named, [0.0, *thresholds], tier, incidence, at.outcomes, horizon_days, shown),
        arms,
        predicted,
        tuple(groups),
    )


def tellable(thresholds: Sequence[float], risk: FloatArray, happened: NDArray[np.bool_], shown: Disclosure) -> bool:
    """Whether no small count of real patients can be told from selections at these ascending thresholds.

    Two thresholds tell how many lie between them, so that the counts with and without the event are looked at there.
    """
    between = np.searchsorted(thresholds, risk, side="right")
    counts = (np.bincount(between[rows], minlength=len(thresholds) + 1) for rows in (happened, ~happened))
    return not any(shown.small(int(n)) for part in counts for n in part)


def tellable_of(
    candidates: Sequence[float],
    before: Sequence[float],
    risk: FloatArray,
    happened: NDArray[np.bool_],
    shown: Disclosure,
) -> list[float]:
    """Those before, and as many candidates, the first ones first, as can be told together (see `tellable`)."""
    kept = list(before)
    for one in candidates:
        if one not in kept and tellable(sorted([*kept, one]), risk, happened, shown):
            kept.append(one)
    return sorted(kept)


def _told_by_level(
    members: Sequence[IntArray],
    thresholds: Sequence[float],
    risk: FloatArray,
    happened: NDArray[np.bool_],
    shown: Disclosure,
) -> list[list[float]]:
    """Which thresholds may be told of each group.

    No threshold is withheld of one group alone: what that group is would follow from everyone and the others.
    """
    told: list[list[float]] = [[] for _ in members]
    for threshold in thresholds:
        hidden = [
            not tellable([*own, threshold], risk[rows], happened[rows], shown)
            for own, rows in zip(told, members, strict=True)
        ]
        if sum(hidden) == 1:
            sizes = [np.inf if hide else len(rows) for hide, rows in zip(hidden, members, strict=True)]
            hidden[int(np.argmin(sizes))] = True
        for own, hide in zip(told, hidden, strict=True):
            if not hide:
                own.append(threshold)
    return told


def _thirds(risk: FloatArray) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names and inner bounds of thirds, rounded so that none is the risk of a patient; one name where all are alike."""
    bounds = np.unique(np.quantile(risk, [1 / 3, 2 / 3]).round(DIGITS))
    bounds = bounds[(bounds > risk.min()) & (bounds <= risk.max())]
    names = THIRDS if len(bounds) == 2 else ("lower risk", "higher risk") if len(bounds) else ("everyone",)
    return names, tuple(bounds.tolist())


def _joined_names(names: Sequence[str], starts: Sequence[float], thresholds: Sequence[float]) -> list[str]:
    """Names of the tiers between the thresholds that are told; a tier whose own is not is joined to the one below."""
    joined = [names[0]]
    for name, start in zip(names[1:], starts, strict=True):
        if start in thresholds:
            joined.append(name)
        else:
            joined[-1] += f" or {name}"
    return joined


def _tiers(
    names: Sequence[str],
    starts: Sequence[float],
    tier: IntArray,
    incidence: FloatArray,
    outcomes: Outcomes,
    horizon_days: float,
    shown: Disclosure,
) -> tuple[TierOfRisk, ...]:
    causes = range(1, len(outcomes.causes) + 1)
    told = _told_causes(tier, len(names), outcomes, horizon_days, shown)
    found = []
    for k, (name, start) in enumerate(zip(names, starts, strict=True)):
        rows = np.flatnonzero(tier == k)
        own = outcomes.take(rows)
        observed = tuple(_observed(own, cause, horizon_days) for cause in causes)
        predicted = incidence[rows].mean(axis=0) if len(rows) else np.full(len(causes), np.nan)
        found.append(TierOfRisk(name, start, len(rows), predicted, observed, told[k]))
    return tuple(found)


def _told_causes(
    tier: IntArray, n_tiers: int, outcomes: Outcomes, horizon_days: float, shown: Disclosure
) -> list[tuple[bool, ...]]:
    """Of each tier, which causes may be told: the event of interest (see `tellable`), and others as in a table."""
    happened = np.where(outcomes.duration_days <= horizon_days, outcomes.cause, 0)
    columns = (0, *range(2, len(outcomes.causes) + 1))
    counts = np.array([[int(((tier == k) & (happened == c)).sum()) for c in columns] for k in range(n_tiers)])
    return [
        (True, *(text == f"{n:,}" for text, n in zip(texts[1:], row[1:], strict=True)))
        for texts, row in zip(shown.table(counts), counts, strict=True)
    ]


def _observed(outcomes: Outcomes, cause: int, horizon_days: float) -> Interval:
    if not np.isfinite(risk_by(outcomes, cause, horizon_days)):
        return Interval(np.nan, np.nan, np.nan)
    return observed_risk(outcomes, cause, horizon_days)
