"""Checkpoints within a fit: a killed training goes on at the epoch it had reached, with the same numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from training.loops.processes import rank, wait


class Checkpoint:
    """Where one fit keeps how far it is."""

    def __init__(self, path: Path, identity: str, every_seconds: float) -> None:
        """`identity` tells this fit from others: what another one left at the path is not used."""
        self.path, self.identity, self.every_seconds = path, identity, every_seconds
        self.written = time.monotonic()

    def read(self) -> Mapping[str, Any] | None:
        """The state that was kept; None if there is none of this fit. It holds tensors, numbers and names, no code."""
        if not self.path.exists():
            return None
        with safe_open(self.path, framework="pt") as file:
            described = json.loads(file.metadata()["state"])
            if file.metadata()["identity"] != self.identity:
                return None
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        state = _assembled(described, tensors)
        if not isinstance(state, Mapping):
            raise ValueError(f"{self.path} holds no state of a fit; delete it and the fit starts anew.")
        return state

    def due(self) -> bool:
        """Whether it is time to keep the state again; the leading process writes."""
        return rank() == 0 and time.monotonic() - self.written >= self.every_seconds

    def write(self, state: Mapping[str, Any]) -> None:
        """Write beside, then rename."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        tensors: dict[str, Tensor] = {}
        described = json.dumps(_taken_apart(state, tensors))
        save_file(tensors, beside, {"identity": self.identity, "state": described})
        beside.rename(self.path)
        self.written = time.monotonic()

    def done(self) -> None:
        """The fit is finished: nothing is left to go on with."""
        wait()
        if rank() == 0:
            self.path.unlink(missing_ok=True)


def _taken_apart(state: object, tensors: dict[str, Tensor]) -> object:
    """What JSON can say of a state, its tensors put aside; keys of mappings may be numbers."""
    if isinstance(state, Tensor):
        tensors[str(len(tensors))] = state.detach().cpu().clone().contiguous()
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(state, Mapping):
        return {"items": [[key, _taken_apart(value, tensors)] for key, value in state.items()]}
    if isinstance(state, list | tuple):
        return [_taken_apart(value, tensors) for value in state]
    return state


def _assembled(described: object, tensors: Mapping[str, Tensor]) -> object:
    """The state again."""
    if isinstance(described, list):
        return [_assembled(value, tensors) for value in described]
    if isinstance(described, dict) and "tensor" in described:
        return tensors[described["tensor"]]
    if isinstance(described, dict):
        return {key: _assembled(value, tensors) for key, value in described["items"]}
    return described
