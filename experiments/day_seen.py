"""What a run says of events that are only known to lie between two days."""

from __future__ import annotations

from features.outcomes import Outcomes
from training.config import ModelConfig, kinds_by_day_seen


def day_seen_sentence(outcomes: Outcomes, model: ModelConfig) -> str:
    """Which parts of the model take such events on the day they were seen; empty where none does, or none is such."""
    kinds, between = kinds_by_day_seen(model), int(outcomes.in_interval.sum())
    if not kinds or not between:
        return ""
    take, n_events = "takes" if len(kinds) == 1 else "take", int((outcomes.cause > 0).sum())
    return (
        f"in {between} of {n_events} rows with an event it is only known to lie between two days (after_day); "
        f"{', '.join(kinds)} {take} the day it was seen, as do all scores"
    )
