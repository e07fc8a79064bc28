"""What was found, in words."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from experiments.interval_text import interval_text
from experiments.monitoring.analysis import Monitoring
from experiments.monitoring.markers import MODEL
from experiments.monitoring.rules import Rule
from experiments.page.privacy import SMALLEST
from experiments.page.tables import threshold_text
from training.evaluation.intervals import Interval


def findings(found: Monitoring) -> Iterator[str]:
    """The model's rule beside the best of the others, at each rate of alerts; and what it rests on."""
    for borne in found.borne:
        rules = [rule for rule in found.rules if rule.borne == borne]
        ours = next(rule for rule in rules if rule.marker == MODEL)
        others = [rule for rule in rules if rule.marker != MODEL]
        yield f"With {borne:g} alerts a patient and month to be borne, {_told(ours)}."
        told = [rule for rule in others if not rule.withheld]
        if told:
            best = max(told, key=lambda rule: rule.performance.caught.point)
            hidden = f", {len(others) - len(told)} of them withheld," if len(told) < len(others) else ""
            yield f"Of {len(others)} simpler rules{hidden} the best, {_told(best)}."
        elif others:
            yield f"What the {len(others)} simpler rules catch is withheld."


def assumptions(found: Monitoring) -> Iterator[str]:
    """What a reader should know of the numbers."""
    events = found.shown.count(found.n_events)
    yield (
        "Rules were fixed, threshold and direction, on other patients than those they were tried on; risks are of "
        f"models that never saw the patient; {events} events could be caught. Which of the simpler rules is best was "
        "seen on the same patients, which flatters it."
    )
    if any(rule.withheld for rule in found.rules):
        yield (
            f"The patients are real. Where 1 to {SMALLEST - 1} of them, or all but so few, have an alert, an event "
            "that is caught or one that follows an alert, a rule's numbers are withheld."
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
    of_model = rule.marker == MODEL
    value = f"{threshold_text(100 * rule.threshold)} %" if of_model else threshold_text(rule.threshold)
    value = value if of_model else f"{value} {rule.unit}".strip()
    return f"{'≤' if rule.below else '≥'} {value}"


def _told(rule: Rule) -> str:
    """``last ferritin (≥ 1,830 ng/mL) catches 68.2 % of events [52.1, 80.5], 25 days before (median) [19, 36]``."""
    if rule.withheld:
        return f"{rule.marker} ({rule_text(rule)}) catches a share of events that is withheld"
    told = rule.performance
    caught = f"{100 * told.caught.point:.1f} % of events"
    if isfinite(told.caught.low):
        caught += f" [{100 * told.caught.low:.1f}, {100 * told.caught.high:.1f}]"
    lead = "" if not isfinite(told.lead_days.point) else f", {text_of(told.lead_days, digits=0)} days before (median)"
    return f"{rule.marker} ({rule_text(rule)}) catches {caught}{lead}"
