"""The model card of a run as JSON: what a machine knows of the model, and what only a person can add."""

from __future__ import annotations

from typing import Literal

import numpy as np

from experiments.count_records import CountFindings
from features.schema import Endpoint, Frozen
from training.artifact.blocks import AlertsBlock
from training.evaluation.intervals import Interval

BY_A_PERSON = "To be filled by a person."

Status = Literal["filled", "partly", "person"]


class Estimate(Frozen):
    """A value with its 95 % interval; None where undefined."""

    point: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval) -> Estimate:
        """NaN becomes None, which JSON knows."""
        values = (interval.point, interval.low, interval.high)
        return cls(**dict(zip(("point", "low", "high"), (v if np.isfinite(v) else None for v in values), strict=True)))


class Score(Frozen):
    """One score, of patients not trained on."""

    landmark_day: float
    cause: str
    horizon_days: float | None
    """Days from the landmark; None: over all times."""
    metric: str
    estimate: Estimate


class Subgroup(Frozen):
    """How well one group of patients is predicted, from the first landmark by `RunCard.subgroup_horizon_days`."""

    variable: str
    level: str
    patients: str
    """In words: small counts of real patients are withheld."""
    events: str
    scores: dict[str, Estimate] | None
    """``o_e``, ``auc``, ``brier``; None of a group too small to be scored."""


class TierIncidence(Frozen):
    """What is predicted and observed of one cause in one tier of risk, by the horizon."""

    landmark_day: float
    horizon_days: float
    tier: str
    from_risk: float
    patients: int
    cause: str
    predicted: float
    """Mean cumulative incidence."""
    observed: Estimate | None
    """Aalen–Johansen; None where it is withheld."""


class SelectionScore(Frozen):
    """Whom a threshold of predicted risk selects, see `training.evaluation.patient_selection.Selected`."""

    landmark_day: float
    horizon_days: float
    threshold: float
    begins_tier: bool
    """Whether a tier begins here; others are about such a threshold."""
    variable: str | None
    level: str | None
    """Within which group; None: of everyone."""
    patients: int
    selected: int
    share: Estimate
    ppv: Estimate
    risk_below: Estimate
    sensitivity: Estimate
    specificity: Estimate
    number_needed_to_watch: Estimate
    number_needed_to_treat: Estimate
    """With the assumed `RunCard.relative_risk_reduction`."""


class Statement(Frozen):
    """Something the card says, or leaves to a person."""

    name: str
    status: Status
    """Whether the run fills it, fills a part of it, or a person has to."""
    text: str


class Item(Statement):
    """One main item of TRIPOD+AI (Collins et al., BMJ 2024;385:e078378), named in our words."""

    number: int
    section: str


class Block(Frozen):
    """One part of the CHAI applied model card (Coalition for Health AI, 2024)."""

    title: str
    statements: tuple[Statement, ...]


class TrainedOn(Frozen):
    """The cohort."""

    title: str
    citation: str
    licence: str
    provenance: Literal["real", "simulated"]
    fingerprint: str
    """sha256 of the cohort folder."""
    patients: int


class RunCard(Frozen):
    """model_card.json."""

    format: Literal["sequela-model-card/1"] = "sequela-model-card/1"
    name: str
    run_id: str
    date: str
    """Of the run, ISO 8601."""
    warning: str
    """What to know before anything else; simulated patients are called so here."""
    endpoint: Endpoint
    model: str
    """Its kind."""
    cohort: TrainedOn
    intended_use: tuple[Statement, ...]
    scores: tuple[Score, ...]
    subgroup_horizon_days: float
    subgroups: tuple[Subgroup, ...]
    relative_risk_reduction: float | None = None
    """Assumed of treatment for numbers needed to treat; None of cards without a selection."""
    tiers: tuple[TierIncidence, ...] = ()
    selection: tuple[SelectionScore, ...] = ()
    alerts: AlertsBlock | None = None
    """Where the run asked for `alerts`."""
    counts: CountFindings | None = None
    """Where the run asked for `counts`."""
    tripod_ai: tuple[Item, ...]
    chai: tuple[Block, ...]
    reproduce: tuple[Statement, ...]
