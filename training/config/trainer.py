"""Where and how networks are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from features.schema import Frozen


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
