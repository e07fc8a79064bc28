"""What a model card says of expected numbers of events, for machines and in sentences."""

from __future__ import annotations

from features.schema import Frozen
from training.artifact.blocks import CountsBlock, CountScore, Measured


class CountsCard(Frozen):
    """What `expected_events` of a prediction counts, and how well it foretold the events of patients not trained on."""

    event: str
    """That is counted: the first one after the landmark and those that come back; earlier ones are not."""
    terminal_events: tuple[str, ...]
    """That end the counting."""
    landmark_days: tuple[float, ...]
    """From which numbers are expected; null from others."""
    n_patients: int | None
    """In training; None of 1 to 4 real ones, as the next."""
    n_events: int | None
    penalty: float
    """Ridge penalty on the log ratios of means."""
    scores: tuple[CountScore, ...]
    """Cross-validated, of each landmark and horizon."""
    said: tuple[str, ...]
    """The same in sentences."""


def said_of_counts(block: CountsBlock) -> list[str]:
    """What is counted, and a sentence for each landmark by the last horizon that is known there."""
    ends = " or ".join(name.replace("_", " ") for name in block.terminal_events) or "nothing but follow-up"
    event = block.event.replace("_", " ")
    said = [f"Every {event} after the landmark counts, earlier ones do not, until {ends} ends the counting."]
    for day in block.landmark_days:
        known = [one for one in block.scores if one.landmark_day == day and one.explained is not None]
        said.append(said_of_score(known[-1]) if known else f"From day {day:g}, how well is not known, or withheld.")
    return said


def said_of_score(score: CountScore) -> str:
    """What expected numbers are worth by one horizon; where nothing is shown that is said."""
    begin = f"By {score.horizon_days:g} days from day {score.landmark_day:g}"
    explained, calibrated = score.explained, score.observed_over_expected
    if explained is None:
        return f"{begin}, how well is not known, or withheld."
    low, high = explained.low, explained.high
    verdict = (
        "too few are known for an interval"
        if low is None or high is None
        else "covariates tell something"
        if low > 0
        else "covariates do harm"
        if high < 0
        else "covariates add nothing that can be shown"
    )
    return (
        f"{begin}, {_text(explained, percent=True)} of the squared error of the same mean for everyone is explained on "
        f"patients not trained on: {verdict}. Observed over expected: "
        f"{'–' if calibrated is None else _text(calibrated)}."
    )


def _text(one: Measured, *, percent: bool = False) -> str:
    """Point and 95 % interval."""
    scale, digits, unit = (100, 1, " %") if percent else (1, 2, "")
    known = (value for value in (one.point, one.low, one.high) if value is not None)
    point, *ends = (f"{scale * value:z.{digits}f}{unit}".replace("-", "−") for value in known)
    return point if len(ends) < 2 else f"{point} (95 % interval {ends[0]} to {ends[1]})"
