"""Models made of other models, and the union of all kinds; what they are made of, and what follows from that."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from features.schema import Frozen
from training.config.by_kind import ByKind
from training.config.cell_networks import AttentionConfig, CellNetworkConfig, SetTransformerConfig
from training.config.models import (
    AalenJohansenConfig,
    BoostingConfig,
    CoxConfig,
    DeepHitConfig,
    FineGrayConfig,
    ForestConfig,
    InContextConfig,
    NetworkConfig,
)
from training.custom_models import CustomConfig
from training.models.custom import requirement_of

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
    """Fits of the model to outcomes simulated from it, beside 6 that are not kept; each costs as much time and room as
    the model itself."""


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
