"""What is known of the alert rule that a run's model carries, in sentences."""

from __future__ import annotations

from math import nan

from experiments.interval_text import interval_text
from experiments.page.privacy import SMALLEST
from experiments.page.tables import threshold_text
from training.artifact.blocks import AlertsBlock, Measured


def said_of_alerts(rule: AlertsBlock, event: str) -> str:
    """The rule, and what it did for patients not trained on; simulated ones are called so."""
    if rule.threshold is None:
        return f"No threshold of risk keeps to {rule.borne:g} alerts a patient and month: nobody is alerted."
    begin = (
        f"An alert is raised where the risk of {event} within {rule.horizon_days:g} days comes to reach "
        f"{threshold_text(100 * rule.threshold)} %, the lowest threshold with at most {rule.borne:g} alerts a patient "
        "and month."
    )
    counts = (
        f"Tried out of fold on {_count(rule.n_patients)} {rule.provenance} patients with {_count(rule.n_events)} "
        "events that could be caught"
    )
    if rule.withheld:
        return f"{begin} {counts}; what it caught is withheld: it would tell of 1 to {SMALLEST - 1} patients."
    return (
        f"{begin} {counts}: {_text(rule.per_patient_month)} alerts a patient and month; "
        f"{_text(rule.caught, percent=True)} % of events caught, {_text(rule.lead_days, digits=0)} days before "
        f"(median); risk within the horizon of the first alert {_text(rule.after_first_alert, percent=True)} % "
        "(95 % intervals over patients)."
    )


def _count(count: int | None) -> str:
    return f"<{SMALLEST}" if count is None else f"{count:,}"


def _text(one: Measured | None, *, percent: bool = False, digits: int = 2) -> str:
    if one is None:
        return "–"
    low, high = (nan if end is None else end for end in (one.low, one.high))
    return interval_text(one.point, low, high, percent=percent, digits=digits)
