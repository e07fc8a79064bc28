"""What of a rule would tell of a few real patients, and is not told: on the page, in the terminal and as JSON alike.

A share times the events that could be caught is the number caught, a rate times the patient-months that of alerts.
"""

from __future__ import annotations

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
    rate = NOTHING if shown.small(told.n_alerted) else told.per_patient_month
    performance = replace(told, per_patient_month=rate, caught=NOTHING, lead_days=NOTHING)
    return replace(rule, performance=performance, after_first_alert=NOTHING, withheld=True)
