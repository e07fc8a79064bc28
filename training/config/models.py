"""Models that are made of no other: how each is fitted to encoded patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from features.schema import Frozen


class AalenJohansenConfig(Frozen):
    """The same incidence for everyone."""

    kind: Literal["aalen_johansen"] = "aalen_johansen"


class CoxConfig(Frozen):
    """Cause-specific Cox models with ridge or elastic-net penalty."""

    kind: Literal["cox"] = "cox"
    penalty: Annotated[float, Field(gt=0)] | None = None
    """Penalty on the log partial likelihood; absent: chosen inside the training fold."""
    l1_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the absolute values in the penalty: 0 = ridge, 1 = lasso, which sets coefficients to 0."""
    penalty_rule: Literal["marginal_likelihood", "minimum", "one_standard_error"] | None = None
    """How the penalty is chosen: by the marginal likelihood (ridge alone), by the best cross-validated likelihood, or
    the strongest within one standard error of that, which is sparser and predicts worse on most tables.

    Absent: by the marginal likelihood for ridge, by the best cross-validated one otherwise."""

    @model_validator(mode="after")
    def _marginal_likelihood_of_ridge(self) -> Self:
        if self.penalty_rule == "marginal_likelihood" and self.l1_ratio:
            msg = f"penalty_rule: marginal_likelihood is of ridge alone, l1_ratio is {self.l1_ratio:g}; choose minimum"
            raise ValueError(msg)
        return self


class FineGrayConfig(Frozen):
    """Fine and Gray's subdistribution-hazards models, one a cause, with ridge penalty."""

    kind: Literal["fine_gray"] = "fine_gray"
    penalty: Annotated[float, Field(gt=0)] | None = None
    """Ridge penalty on the log partial likelihood; absent: chosen inside the training fold by cross-validation."""


class NetworkConfig(Frozen):
    """Packed, bagged discrete-hazard network."""

    kind: Literal["network"] = "network"
    members: Annotated[int, Field(ge=2)] = 32
    """Bootstrap members, all trained in one batched program."""
    bins: Annotated[int, Field(ge=2)] = 24
    """Bins of follow-up, of about equal numbers of events."""
    hidden: Annotated[int, Field(ge=1)] = 16
    """Hidden units of each member and cause."""
    score_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the integrated Brier score beside the likelihood; 2 and 10 changed nothing on public tables."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """Of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """AdamW's decoupled decay, of all weights but the base hazards."""
    batch_rows: Annotated[int, Field(ge=1)] = 512
    """Rows of a mini-batch."""
    max_epochs: Annotated[int, Field(ge=1)] = 200
    """Passes over the patients, at most."""
    patience: Annotated[int, Field(ge=1)] = 15
    """Epochs without an out-of-bag gain in any member and cause before training stops."""


class ForestConfig(Frozen):
    """Random forest for competing risks."""

    kind: Literal["forest"] = "forest"
    trees: Annotated[int, Field(ge=1)] = 200
    """Each grown on patients drawn at random."""
    min_leaf: Annotated[int, Field(ge=1)] = 10
    """Rows in a leaf, at least."""
    max_features: Annotated[float, Field(gt=0, le=1)] = 1 / 3
    """Share of the features tried at each split."""
    shrinkage: Annotated[float, Field(ge=0)] | None = None
    """Strength, in rows, of the shrinkage of leaves towards the nodes above; absent: chosen out of bag."""
    grid_points: Annotated[int, Field(ge=2, le=100)] = 50
    """Times at which leaves hold their incidences."""


class BoostingConfig(Frozen):
    """Gradient-boosted piecewise-exponential hazards."""

    kind: Literal["boosting"] = "boosting"
    members: Annotated[int, Field(ge=2)] = 5
    """Parts of the patients; each member is stopped on one of them and trained on the others."""
    bins: Annotated[int, Field(ge=1)] = 24
    """Bins of follow-up, of about equal numbers of events."""
    rounds: Annotated[int, Field(ge=1)] = 300
    """Trees of each member and cause, at most."""
    patience: Annotated[int, Field(ge=1)] = 15
    """Rounds without a gain in the patients held out before a member stops."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of each tree's step that is taken."""
    leaves: Annotated[int, Field(ge=2)] = 6
    """Leaves of a tree, at most."""
    min_leaf: Annotated[int, Field(ge=1)] = 10
    """Rows in a leaf, at least."""
    max_features: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the features tried at each split."""
    ridge: Annotated[float, Field(gt=0)] = 1.0
    """Penalty on the squares of the leaves' steps, in events."""
    trend: Annotated[float, Field(gt=0)] = 0.5
    """Weight of changes of the hazard ratio over follow-up beside its level."""


class DeepHitConfig(Frozen):
    """DeepHit: one network for the joint distribution of time and cause; a baseline."""

    kind: Literal["deephit"] = "deephit"
    bins: Annotated[int, Field(ge=2)] = 24
    """Bins of follow-up, of about equal numbers of events."""
    shared: Annotated[int, Field(ge=1)] = 32
    """Units of the layer that the causes share."""
    own: Annotated[int, Field(ge=1)] = 32
    """Units of each cause's own layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the units that are left out in a training step."""
    ranking: Annotated[float, Field(ge=0)] = 0.2
    """Weight of the ranking loss beside the likelihood."""
    sigma: Annotated[float, Field(gt=0)] = 0.1
    """Difference of incidences that the ranking loss takes for a large one."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.003
    """Of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """AdamW's decoupled decay."""
    batch_rows: Annotated[int, Field(ge=1)] = 256
    """Rows of a mini-batch; pairs are ranked within one."""
    max_epochs: Annotated[int, Field(ge=1)] = 200
    """Passes over the patients, at most."""
    patience: Annotated[int, Field(ge=1)] = 20
    """Epochs without a gain in the patients held out before training stops."""


class InContextConfig(Frozen):
    """A network that was trained before, on simulated cohorts, and reads this one: nothing is fitted."""

    kind: Literal["in_context"] = "in_context"
    weights: Path | None = None
    """Written by `sequela pretrain`; absent: those that ship."""
    context_rows: Annotated[int, Field(ge=30)] = 3000
    """Rows that are read, at most; of larger cohorts, so many are drawn. They are part of the artifact."""
    tuning_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of fine-tuning on the cohort; 0: the weights stay as they are."""
    tuning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """Learning rate of fine-tuning."""
