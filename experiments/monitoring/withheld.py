"""What of a rule would tell of a few real patients, and is not told: on the page, in the terminal and as JSON alike.

A share times the events that could be caught is the number caught, a rate times the patient-months that of alerts. And
of two thresholds of one marker, the differences are the numbers of those between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from experiments.monitoring.rules import NOTHING, Rule
from experiments.page.privacy import Disclosure


def guarded(rule: Rule, shown: Disclosure) -> Rule:
    """The rule, without its numbers where they tell of 1 to 4 real patients.

    Share, lead and risk are withheld where those are the patients whose event is caught, who have an alert, or whose
    event follows their first alert within the horizon, or all but those; the rate where they have an alert.
    """
    told = rule.performance
    parts = ((told.n_caught, told.n_events), (told.n_alerted, told.n_patients), (rule.n_followed, told.n_alerted))
    if not any(shown.small(part) or shown.small(whole - part) for part, whole in parts):
        return rule
    return _without(rule, rate=shown.small(told.n_alerted))


def guarded_together(rules: Sequence[Rule], shown: Disclosure) -> tuple[Rule, ...]:
    """Each `guarded`; and of one marker no two between whose counts lie 1 to 4 real patients: the later goes."""
    found: list[Rule] = []
    last: dict[str, tuple[int, int, int]] = {}
    for rule in rules:
        one = guarded(rule, shown)
        counts = (rule.performance.n_caught, rule.performance.n_alerted, rule.n_followed)
        if not one.withheld:
            before = last.get(rule.marker, counts)
            if any(shown.small(abs(n - other)) for n, other in zip(counts, before, strict=True)):
                one = _without(rule, rate=True)
            else:
                last[rule.marker] = counts
        found.append(one)
    return tuple(found)


def _without(rule: Rule, *, rate: bool) -> Rule:
    """The rule without its numbers; the rate of alerts, too, if it tells of few."""
    told = rule.performance
    performance = replace(
        told, per_patient_month=NOTHING if rate else told.per_patient_month, caught=NOTHING, lead_days=NOTHING
    )
    return replace(rule, performance=performance, after_first_alert=NOTHING, withheld=True)
