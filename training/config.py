"""What can be said about a model and its fitting: pydantic models, one block of a run's YAML each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from features.schema import Frozen
from training.by_kind import ByKind
from training.custom_models import CustomConfig
from training.models.custom import requirement_of


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


class CellNetworkConfig(Frozen):
    """What networks that look at single cells share."""

    members: Annotated[int, Field(ge=2)] = 6
    """Bootstrap members, all trained in one batched program."""
    bins: Annotated[int, Field(ge=2)] = 24
    """Bins of follow-up, of about equal numbers of events."""
    hidden: Annotated[int, Field(ge=1)] = 16
    """Hidden units of the clinical part, of each member and cause."""
    width: Annotated[int, Field(ge=1)] = 32
    """Length of what is known of a cell, a sample and a patient."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads; they divide the width."""
    components: Annotated[int, Field(ge=1)] = 30
    """Principal components of cells, fitted in each fold: the axes on which cells are compared."""
    prototypes: Annotated[int, Field(ge=1)] = 32
    """Points among the cells whose neighbours are counted."""
    cells_per_sample: Annotated[int, Field(ge=16)] = 256
    """Cells drawn of each sample, afresh each epoch; halved where they do not fit in memory."""
    most_cells: Annotated[int, Field(ge=16)] = 10_000
    """Cells of a sample that are read at all; a prediction takes all of these."""
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the rows that lose all their cells in a training step, and of the samples that the others lose: so the
    same model serves patients of whom no cell was measured."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.002
    """Of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """AdamW's decoupled decay, of all weights but base hazards and biases."""
    batch_rows: Annotated[int, Field(ge=1)] = 64
    """Rows of a mini-batch, about: those of one patient stay together."""
    max_epochs: Annotated[int, Field(ge=1)] = 100
    """Passes over the patients, at most."""
    patience: Annotated[int, Field(ge=1)] = 15
    """Epochs without an out-of-bag gain in any member before training stops."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            msg = f"width: {self.width} is no multiple of heads: {self.heads}; choose one that is"
            raise ValueError(msg)
        return self


class InContextConfig(Frozen):
    """A network that was trained before, on simulated cohorts, and reads this one: nothing is fitted."""

    kind: Literal["in_context"] = "in_context"
    weights: Path | None = None
    """Written by `sequela pretrain`; absent: those that ship."""
    context_rows: Annotated[int, Field(ge=30)] = 3000
    """Rows that are read, at most; of larger cohorts, so many are drawn. They are part of the artifact."""
    tuning_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of fine-tuning on the cohort; 0: the weights stay as they are."""
    tuning_rate: Annotated[float, Field(gt=0)] = 3e-5
    """Learning rate of fine-tuning."""


class AttentionConfig(CellNetworkConfig):
    """Attention over bags of cells' frozen principal components."""

    kind: Literal["attention"] = "attention"
    genes: Annotated[int, Field(ge=1)] = 2000
    """Highly variable genes that the components are made of, chosen in each fold."""


class SetTransformerConfig(CellNetworkConfig):
    """A set transformer, trained from the genes of cells to the risk."""

    kind: Literal["set_transformer"] = "set_transformer"
    genes: Annotated[int, Field(ge=1)] = 500
    """Highly variable genes that the model sees, chosen in each fold."""
    blocks: Annotated[int, Field(ge=0)] = 1
    """Set-attention blocks."""
    points: Annotated[int, Field(ge=1)] = 16
    """Inducing points of each block."""


SingleConfig = (
    AalenJohansenConfig
    | CoxConfig
    | FineGrayConfig
    | NetworkConfig
    | ForestConfig
    | BoostingConfig
    | DeepHitConfig
    | InContextConfig
    | AttentionConfig
    | SetTransformerConfig
    | CustomConfig
)
"""Models that are made of no other model; those of other packages are among them."""

StudentConfig: TypeAlias = CoxConfig | FineGrayConfig | NetworkConfig | ForestConfig | BoostingConfig
"""Models that hold no row of those they were fitted to."""


class MixtureConfig(Frozen):
    """Weighted mean of other models' incidences."""

    kind: Literal["mixture"] = "mixture"
    members: Annotated[
        tuple[Annotated[SingleConfig, ByKind()], ...],
        Field(min_length=2),
    ] = (CoxConfig(), NetworkConfig())
    """Whose incidences are averaged."""
    weights: Literal["equal", "stacked"] | tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """One a member; ``stacked``: fitted on out-of-fold predictions; absent: equal."""


class DistilledConfig(Frozen):
    """A model that has learnt to answer as another one does; rows that an `in_context` teacher held are not in it."""

    kind: Literal["distilled"] = "distilled"
    model: Annotated[SingleConfig | MixtureConfig, ByKind()] = InContextConfig()
    """The teacher; it is fitted, asked, and left behind."""
    student: Annotated[StudentConfig, Field(discriminator="kind")] = NetworkConfig()
    """What is stored and served."""
    draws: Annotated[int, Field(ge=1)] = 20
    """Outcomes simulated of each training row, for the student to learn from."""

    @model_validator(mode="after")
    def _teacher_sees_what_the_student_sees(self) -> Self:
        if sees_cells(self.model):
            msg = f"model: {self.model.kind} looks at single cells, which no student does; choose another teacher"
            raise ValueError(msg)
        return self


class RecalibratedConfig(Frozen):
    """Another model, level and spread of its hazards set right on its out-of-fold predictions."""

    kind: Literal["recalibrated"] = "recalibrated"
    model: Annotated[SingleConfig | MixtureConfig | DistilledConfig, ByKind()]
    """Whose hazards are set right."""


class WithIntervalsConfig(Frozen):
    """Another model, with intervals of its risks and lower bounds of the time without events."""

    kind: Literal["with_intervals"] = "with_intervals"
    model: Annotated[SingleConfig | MixtureConfig | DistilledConfig | RecalibratedConfig, ByKind()]
    """Whose risks get intervals."""
    refits: Annotated[int, Field(ge=2)] = 25
    """Fits of the model to outcomes simulated from it; each costs as much time and room as the model itself."""


ModelConfig = Annotated[
    SingleConfig | MixtureConfig | DistilledConfig | RecalibratedConfig | WithIntervalsConfig,
    ByKind(),
]


def sees_cells(model: ModelConfig) -> bool:
    """Whether a model, or one that it is made of, looks at single cells, whatever `FeatureConfig.cells` says."""
    return any(isinstance(one, CellNetworkConfig) for one in single_models(model))


def has_network(model: ModelConfig) -> bool:
    """Whether a model is, or is made of, a network that can learn from other endpoints beside its own."""
    return any(isinstance(one, NetworkConfig) for one in single_models(model))


def kinds_by_day_seen(model: ModelConfig) -> list[str]:
    """What a model is made of that takes an event known to lie between two days for one of the later day.

    Networks do not; models of other packages do as they will.
    """
    between = NetworkConfig | CellNetworkConfig | DeepHitConfig | CustomConfig
    return sorted({one.kind for one in single_models(model) if not isinstance(one, between)})


def single_models(model: ModelConfig, *, stored: bool = False) -> tuple[SingleConfig, ...]:
    """What a model is made of, in the end; or what of it is stored, which teachers are not."""
    match model:
        case MixtureConfig():
            return model.members
        case RecalibratedConfig() | WithIntervalsConfig():
            return single_models(model.model, stored=stored)
        case DistilledConfig():
            return *(() if stored else single_models(model.model)), model.student
        case _:
            return (model,)


def most_rows_held(model: ModelConfig) -> int:
    """Rows of its cohort that an artifact of the model holds, at most, encoded and with outcomes; 0 for most."""
    holders = [one for one in single_models(model, stored=True) if isinstance(one, InContextConfig)]
    return max((one.context_rows for one in holders), default=0)


def custom_requirements(model: ModelConfig) -> list[str]:
    """Packages that provide models which an artifact holds, as pip writes them."""
    stored = single_models(model, stored=True)
    return sorted({requirement_of(one.kind) for one in stored if isinstance(one, CustomConfig)})


class TrainerConfig(Frozen):
    """Where and how Lightning trains; the same code path on CPU and GPU."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where networks are trained; ``auto`` takes what is there."""
    devices: int | Literal["auto"] = 1
    """Of one process; several train together when torchrun starts as many processes."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Of PyTorch on processors: two gained nothing on `network` and `attention`, and took four times as long beside
    other work; with one, the numbers do not depend on how many cores there are. Pre-training gains from more."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    """Of the computation; the mixed ones compute in 16 bits what can be, and keep weights in 32."""
    accumulate_batches: Annotated[int, Field(ge=1)] = 1
    """Mini-batches whose gradients make one step."""
    compile: bool = False
    """Whether to compile the network first: 20 s on a CPU for steps that are a seventh shorter."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How often an unfinished fit keeps how far it is, at the end of an epoch."""
    gradient_clip_norm: Annotated[float, Field(gt=0)] = 5.0
    """Longer gradients are shortened to this norm."""
    deterministic: bool = True
    """Whether only algorithms are used that give the same numbers every time."""


class ValidationConfig(Frozen):
    """How out-of-fold predictions are made; patients are kept whole."""

    scheme: Literal["cross_validation", "site", "temporal"] = "cross_validation"
    """At random; each centre held out once; or later patients predicted from earlier ones."""
    column: str | None = None
    """Column of patients.csv that tells the centre (absent: ``site``), or the time, e.g. the year of infusion."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Parts that are tested; with ``site`` there are as many as centres."""
    repeats: Annotated[int, Field(ge=1)] = 1
    """Of a split at random."""
    bootstrap: Annotated[int, Field(ge=20)] = 200
    """Bootstrap resamples of patients for the intervals."""
    importance: Annotated[int, Field(ge=0)] = 0
    """Permutations of each source of information, to tell what predictions need; 0: not asked."""
    permutations: Annotated[int, Field(ge=0)] = 0
    """Exchanges of outcomes between patients, to test whether the whole run finds anything; each costs a whole
    cross-validation; 0: not asked."""

    @model_validator(mode="after")
    def _split_is_complete(self) -> Self:
        if self.scheme != "cross_validation" and self.repeats > 1:
            msg = f"repeats: {self.repeats} of a {self.scheme} split would all be the same; use 1"
            raise ValueError(msg)
        if self.scheme == "temporal" and self.column is None:
            msg = "column: a temporal split needs to know the column that holds the time, e.g. the year of infusion"
            raise ValueError(msg)
        if self.scheme == "cross_validation" and self.column is not None:
            msg = f"column: {self.column} has no meaning for cross_validation; set scheme to site or temporal"
            raise ValueError(msg)
        return self


class SearchRange(Frozen):
    """Numbers between two ends; whole ones where both ends are."""

    low: int | float
    """Lower end."""
    high: int | float
    """Upper end."""
    log: bool = False
    """Whether to search evenly on the logarithmic scale."""

    @model_validator(mode="after")
    def _ends_are_ordered(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            msg = f"low: {self.low} must lie below high: {self.high}, and above 0 on the logarithmic scale"
            raise ValueError(msg)
        return self


class StatesConfig(Frozen):
    """Models of transitions between states, which the artifact holds beside the risk model, for `POST /v1/states`."""

    resamples: Annotated[int, Field(ge=20, le=200)]
    """Refits to patients drawn with replacement, for the intervals."""


class AlertsConfig(Frozen):
    """An alert rule of the risk, fixed out of fold, which the artifact holds for `POST /v1/monitor`."""

    per_patient_month: Annotated[float, Field(gt=0, le=30)]
    """Alerts a patient and month that are borne; the threshold is the lowest that raises no more."""
    horizon_days: Annotated[float, Field(gt=0)] | None = None
    """For how long an alert is good; absent: the horizon of the endpoint's decision, else its first."""


class CountsConfig(Frozen):
    """A model of numbers of events, those that come back included, which the artifact holds beside the risk model."""

    penalty: Annotated[float, Field(gt=0)] | None = None
    """Ridge penalty on the pseudo log-likelihood; absent: chosen inside the training fold by cross-validation."""


class TuningConfig(Frozen):
    """Settings of the model that are chosen in each training fold, by inner cross-validation."""

    space: Annotated[
        dict[str, SearchRange | Annotated[tuple[bool | int | float | str | None, ...], Field(min_length=1)]],
        Field(min_length=1),
    ]
    """By dotted key below `model`: ``{low: 0.001, high: 0.1, log: true}``, or a list of choices."""
    trials: Annotated[int, Field(ge=1)] = 20
    """Proposals beside the model as configured; each is fitted once for every inner fold."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Inner folds."""
