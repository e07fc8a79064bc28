"""The file of a pre-trained in-context network: its weights, its shape, and how they came about. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from features.errors import SequelaError
from training.models.in_context import InContextModule, InContextSizes

SHIPPED = Path(__file__).parent / "in_context.safetensors"


@dataclass(frozen=True, slots=True)
class Origin:
    """How weights came about: of all runs of pre-training together."""

    prior: int
    """Version of the prior that the tables were simulated from."""
    seed: int
    """Of the last run."""
    steps: int
    tables: int
    """Simulated tables seen."""
    hours: Mapping[str, float]
    """Of training, by hardware."""


def read_weights(path: Path = SHIPPED) -> tuple[InContextModule, Origin]:
    """A pre-trained network, and how it came about.

    Raises:
        SequelaError: The file is not there, or holds no such network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            names = file.keys()
            weights = {name: file.get_tensor(name) for name in names}
        module = InContextModule(InContextSizes(**json.loads(described["sizes"])))
        module.load_state_dict(weights)
        return module.eval(), Origin(**json.loads(described["origin"]))
    except (FileNotFoundError, IsADirectoryError) as error:
        msg = f"{path}: no such file; weights are what `sequela pretrain` wrote, and without a path those that ship"
        raise SequelaError(msg) from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        msg = f"{path}: holds no in-context network ({type(error).__name__}); give what `sequela pretrain` wrote"
        raise SequelaError(msg) from error


def write_weights(path: Path, module: InContextModule, origin: Origin) -> None:
    """Write beside, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    weights = {name: value.detach().cpu().to(torch.float32).contiguous() for name, value in module.state_dict().items()}
    described = {"sizes": json.dumps(asdict(module.sizes)), "origin": json.dumps(asdict(origin))}
    save_file(weights, beside, described)
    beside.chmod(0o644)
    beside.rename(path)
