"""What was found, in the terminal and as plain values."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from rich.table import Table

from experiments.cli.output import stdout, table_of
from experiments.monitoring.analysis import Monitoring
from experiments.monitoring.landmarks import OnDay
from experiments.monitoring.rules import Rule
from experiments.monitoring.sentences import assumptions, findings, rule_text, text_of
from experiments.page.privacy import WITHHELD
from training.evaluation.intervals import Interval


def print_monitoring(found: Monitoring) -> None:
    """Rules, days, and what was found in words."""
    card = found.rows.cohort.card
    patients = f"{found.shown.count(found.n_patients)} {card.provenance} patients"
    stdout.print(
        f"{found.rows.endpoint.name} within {found.horizon_days:g} days: {found.n_visits:,} visits of "
        f"{patients}, {found.patient_months:,.0f} patient-months ({card.title})",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for borne in found.borne:
        stdout.print(_rules(found, borne))
    stdout.print(_days(found))
    for sentence in (*findings(found), *assumptions(found)):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _rules(found: Monitoring, borne: float) -> Table:
    title = f"Alerts, at most {borne:g} a patient and month"
    rates = ("alerts a month", "events caught %", "days before", "risk after first alert %")
    table = table_of(title, ("rule", "alert"), rates)
    for rule in found.rules:
        if rule.borne == borne:
            table.add_row(rule.marker, rule_text(rule), *cells(rule))
    return table


def cells(rule: Rule) -> tuple[str, ...]:
    """Rate, share, lead and risk after a first alert."""
    told = rule.performance

    def text(interval: Interval, *, percent: bool = False, digits: int = 2) -> str:
        hidden = rule.withheld and not isfinite(interval.point)
        return WITHHELD if hidden else text_of(interval, percent=percent, digits=digits)

    return (
        text(told.per_patient_month),
        text(told.caught, percent=True),
        text(told.lead_days, digits=0),
        text(rule.after_first_alert, percent=True),
    )


def scores(one: OnDay) -> tuple[str, ...]:
    """AUC, and of risks the Brier score and the index of prediction accuracy."""
    return (
        text_of(one.auc),
        "" if one.brier is None else text_of(one.brier, digits=3),
        "" if one.accuracy is None else text_of(one.accuracy, percent=True),
    )


def _days(found: Monitoring) -> Table:
    title = f"Telling who will have the event within {found.horizon_days:g} days, by day since infusion"
    table = table_of(title, ("day", "marker"), ("patients", "events", "AUC", "Brier score", "IPA %"))
    for one in found.on_days:
        if one.either_way:  # single labs are on the page and in the JSON
            continue
        counts = (found.shown.count(n) for n in (one.n_patients, one.n_events))
        table.add_row(f"{one.day:g}", one.marker, *counts, *scores(one))
    return table


def plain(found: Monitoring) -> dict[str, Any]:
    """Everything that is told elsewhere, as JSON has it; what is withheld is not known here either."""
    return {
        "endpoint": found.rows.endpoint.name,
        "cohort": found.rows.cohort.card.title,
        "provenance": found.rows.cohort.card.provenance,
        "horizon_days": found.horizon_days,
        "visits": found.n_visits,
        "patients": _count(found, found.n_patients),
        "patient_months": found.patient_months,
        "rules": [_plain_rule(found, rule) for rule in found.rules],
        "days": [asdict(one) for one in found.on_days],
    }


def _count(found: Monitoring, count: int) -> int | None:
    return None if found.shown.small(count) else count


def _plain_rule(found: Monitoring, rule: Rule) -> dict[str, Any]:
    """Of the counts the events that could be caught alone: the others tell what is withheld."""
    told = asdict(rule.performance)
    performance = {name: told[name] for name in ("per_patient_month", "caught", "lead_days")}
    performance["n_events"] = _count(found, found.n_events)
    return {name: value for name, value in asdict(rule).items() if name != "n_followed"} | {"performance": performance}
