"""How a run tells what it is doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Each is called with (done, of)."""

    cells: Callable[[int, int], None]
    folds: Callable[[int, int], None]
    trials: Callable[[int, int], None] | None = None
    """Where settings are tuned."""
    epochs: Callable[[int, int], None] | None = None
    """Of each fit of a network; how many there are at most."""
    permutations: Callable[[int, int], None] | None = None
    """Cross-validations of the permutation test."""
