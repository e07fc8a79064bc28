"""What was found, in words."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from experiments.interval_text import interval_text
from experiments.monitoring.analysis import Monitoring
from experiments.monitoring.markers import MODEL
from experiments.monitoring.rules import Rule
from experiments.page.tables import number
from training.evaluation.intervals import Interval


def findings(found: Monitoring) -> Iterator[str]:
    """The model's rule beside the best of the others, at each rate of alerts; and what it rests on."""
    for borne in found.borne:
        rules = [rule for rule in found.rules if rule.borne == borne]
        ours = next(rule for rule in rules if rule.marker == MODEL)
        others = [rule for rule in rules if rule.marker != MODEL]
        yield f"With {borne:g} alerts a patient and month to be borne, {_told(ours)}."
        if others:
            best = max(others, key=lambda rule: rule.performance.caught.point)
            yield f"Of {len(others)} simpler rules the best, {_told(best)}."


def assumptions(found: Monitoring) -> Iterator[str]:
    """What a reader should know of the numbers."""
    events = found.rules[0].performance.n_events
    yield (
        "Rules were fixed, threshold and direction, on other patients than those they were tried on; risks are of "
        f"models that never saw the patient; {events} events could be caught. Which of the simpler rules is best was "
        "seen on the same patients, which flatters it."
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
    value = f"{100 * rule.threshold:.1f} %" if rule.marker == MODEL else f"{number(rule.threshold)} {rule.unit}".strip()
    return f"{'≤' if rule.below else '≥'} {value}"


def _told(rule: Rule) -> str:
    """``last ferritin (≥ 1,830 ng/mL) catches 68.2 % of events [52.1, 80.5], 25 days before (median) [19, 36]``."""
    told = rule.performance
    caught = f"{100 * told.caught.point:.1f} % of events"
    if isfinite(told.caught.low):
        caught += f" [{100 * told.caught.low:.1f}, {100 * told.caught.high:.1f}]"
    lead = "" if not isfinite(told.lead_days.point) else f", {text_of(told.lead_days, digits=0)} days before (median)"
    return f"{rule.marker} ({rule_text(rule)}) catches {caught}{lead}"
