"""What a run with `counts` finds of expected numbers of events, as it is kept beside its report."""

from __future__ import annotations

from typing import Literal

from features.schema import Frozen
from training.artifact.blocks import CountScore, Measured

COUNTS = "counts.json"
"""In the report folder of a run that asked for `counts`."""


class CountGroup(Frozen):
    """Patients not trained on, of similar expected number, and how many events they had."""

    landmark_day: float
    horizon_days: float
    n_patients: int | None
    """None of 1 to 4 real ones."""
    expected: float
    """Mean expected number."""
    observed: Measured | None
    """Mean number; None where it would tell of 1 to 4 real patients."""


class CountFindings(Frozen):
    """counts.json."""

    provenance: Literal["real", "simulated"]
    """Of the patients."""
    event: str
    """That is counted."""
    n_patients: int | None
    """None of 1 to 4 real ones, as the next."""
    n_events: int | None
    """After the first landmark at which each was at risk."""
    scores: tuple[CountScore, ...]
    """Of each landmark and horizon."""
    calibration: tuple[CountGroup, ...]
    """Of each landmark at the last horizon by which anything is known, ascending by expected number."""
