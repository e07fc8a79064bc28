"""Checkpoints within a fit: a killed training goes on at the epoch it had reached, with the same numbers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training.processes import rank, wait


class Checkpoint:
    """Where one fit keeps how far it is."""

    def __init__(self, path: Path, identity: str, every_seconds: float) -> None:
        """`identity` tells this fit from others: what another one left at the path is not used."""
        self.path, self.identity, self.every_seconds = path, identity, every_seconds
        self.written = time.monotonic()

    def read(self) -> Mapping[str, Any] | None:
        """The state that was kept; None if there is none of this fit. Holds tensors, numbers and names, no code."""
        if not self.path.exists():
            return None
        held: Mapping[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return held if held["identity"] == self.identity else None

    def due(self) -> bool:
        """Whether it is time to keep the state again; the leading process writes."""
        return rank() == 0 and time.monotonic() - self.written >= self.every_seconds

    def write(self, state: Mapping[str, Any]) -> None:
        """Write beside, then rename."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        torch.save({"identity": self.identity, **state}, beside)
        beside.rename(self.path)
        self.written = time.monotonic()

    def done(self) -> None:
        """The fit is finished: nothing is left to go on with."""
        wait()
        if rank() == 0:
            self.path.unlink(missing_ok=True)
