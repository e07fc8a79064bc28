"""What can be said about a model and its fitting: pydantic models, one block of a run's YAML each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from features.schema import Frozen


class AalenJohansenConfig(Frozen):
    """The same incidence for everyone."""

    kind: Literal["aalen_johansen"] = "aalen_johansen"


class CoxConfig(Frozen):
    """Ridge cause-specific Cox models."""

    kind: Literal["cox"] = "cox"
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
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """AdamW's decoupled decay, of all weights but the base hazards."""
    batch_rows: Annotated[int, Field(ge=1)] = 512
    """Rows of a mini-batch."""
    max_epochs: Annotated[int, Field(ge=1)] = 200
    patience: Annotated[int, Field(ge=1)] = 15
    """Epochs without an out-of-bag gain in any member and cause before training stops."""


class MixtureConfig(Frozen):
    """Weighted mean of other models' incidences."""

    kind: Literal["mixture"] = "mixture"
    members: Annotated[
        tuple[Annotated[CoxConfig | NetworkConfig | AalenJohansenConfig, Field(discriminator="kind")], ...],
        Field(min_length=2),
    ] = (CoxConfig(), NetworkConfig())
    weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """One a member; absent: equal."""


ModelConfig = Annotated[AalenJohansenConfig | CoxConfig | NetworkConfig | MixtureConfig, Field(discriminator="kind")]


class TrainerConfig(Frozen):
    """Where and how Lightning trains; the same code path on CPU and GPU."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: int | Literal["auto"] = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    gradient_clip_norm: Annotated[float, Field(gt=0)] = 5.0
    deterministic: bool = True


class ValidationConfig(Frozen):
    """Repeated cross-validation, patients kept whole."""

    folds: Annotated[int, Field(ge=2)] = 5
    repeats: Annotated[int, Field(ge=1)] = 1
    bootstrap: Annotated[int, Field(ge=20)] = 200
    """Bootstrap resamples of patients for the intervals."""
