"""The selection of patients as the model card has it."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.run_page.analysis import Analysis
from experiments.run_page.card import Estimate, SelectionScore, TierIncidence
from experiments.run_page.selection import Selection
from training.evaluation.patient_selection import MEASURES, Selected


def tiers_of(a: Analysis) -> tuple[TierIncidence, ...]:
    """Predicted and observed incidence of every cause in every tier that has patients."""
    return tuple(
        TierIncidence(
            landmark_day=of.day,
            horizon_days=of.horizon_days,
            tier=tier.name,
            from_risk=tier.from_risk,
            patients=tier.n_patients,
            cause=cause,
            predicted=float(tier.predicted[k]),
            observed=Estimate.of(tier.observed[k]) if tier.told[k] else None,
        )
        for of in a.selections
        for tier in of.tiers
        if tier.n_patients
        for k, cause in enumerate(a.record.rows.endpoint.causes)
    )


def selection_of(a: Analysis) -> tuple[SelectionScore, ...]:
    """Every threshold that is told, of everyone and then of groups; what is withheld is left out."""
    return tuple(one for of in a.selections for one in _of(a, of))


def _of(a: Analysis, of: Selection) -> Iterator[SelectionScore]:
    for one in of.at:
        yield _score(a, of, one)
    for group in of.groups:
        for own in group.at:
            if own is not None:
                yield _score(a, of, own, group.variable, group.level)


def _score(
    a: Analysis, of: Selection, one: Selected, variable: str | None = None, level: str | None = None
) -> SelectionScore:
    return SelectionScore(
        landmark_day=of.day,
        horizon_days=of.horizon_days,
        threshold=one.threshold,
        begins_tier=one.threshold in of.thresholds,
        variable=variable,
        level=level,
        patients=one.n_rows,
        selected=one.n_selected,
        number_needed_to_watch=Estimate.of(one.number_needed_to_watch),
        number_needed_to_treat=Estimate.of(one.number_needed_to_treat(a.relative_risk_reduction)),
        **{name: Estimate.of(getattr(one, name)) for name in MEASURES},
    )
