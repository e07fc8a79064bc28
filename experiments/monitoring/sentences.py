"""What was found, in words."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.interval_text import interval_text
from experiments.monitoring.analysis import Monitoring
from experiments.monitoring.markers import MODEL
from experiments.monitoring.rules import Rule
from training.evaluation.intervals import Interval


def findings(found: Monitoring) -> Iterator[str]:
    """The model's rule beside the best of the others, at each rate of alerts; and what it rests on."""
    for borne in found.borne:
        rules = [rule for rule in found.rules if rule.borne == borne]
        ours = next(rule for rule in rules if rule.marker == MODEL)
        others = [rule for rule in rules if rule.marker != MODEL]
        yield f"With {borne:g} alerts a patient and month to be borne: {_told(ours)}."
        if others:
            best = max(others, key=lambda rule: rule.performance.caught.point)
            yield f"The best of {len(others)} simpler rules, {best.marker}: {_told(best)}."


def assumptions(found: Monitoring) -> Iterator[str]:
    """What a reader should know of the numbers."""
    events = found.rules[0].performance.n_events
    yield (
        "Thresholds and directions were fixed on other patients than those they were tried on; risks are of models "
        f"that never saw the patient; {events} events could be caught. Which of the simpler rules is best was seen on "
        "the same patients, which flatters it."
    )
    yield (
        "Events after the end of a patient's follow-up are not counted; the risk after a first alert takes account of "
        "censoring and competing events (Aalen–Johansen). Intervals are 95 %, over patients, rules being held fixed."
    )


def text_of(interval: Interval, *, percent: bool = False, digits: int = 2) -> str:
    """Point and interval."""
    return interval_text(interval.point, interval.low, interval.high, percent=percent, digits=digits)


def rule_text(rule: Rule) -> str:
    """From where on it alerts: ``≤ 0.52 10*3/uL``."""
    if abs(rule.threshold) == float("inf"):
        return "never"
    shown = f"{100 * rule.threshold:.1f} %" if rule.marker == MODEL else f"{rule.threshold:.3g} {rule.unit}".strip()
    return f"{'≤' if rule.below else '≥'} {shown}"


def _told(rule: Rule) -> str:
    told = rule.performance
    caught, lead = text_of(told.caught, percent=True), text_of(told.lead_days, digits=0)
    return f"{caught} % of events, {lead} days before, at {text_of(told.per_patient_month)} alerts ({rule_text(rule)})"
