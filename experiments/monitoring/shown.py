"""What was found, in the terminal and as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from experiments.cli.output import stdout, table_of
from experiments.monitoring.analysis import Monitoring
from experiments.monitoring.rules import Rule
from experiments.monitoring.sentences import assumptions, findings, rule_text, text_of


def print_monitoring(found: Monitoring) -> None:
    """Rules, days, and what was found in words."""
    card = found.rows.cohort.card
    stdout.print(
        f"{found.rows.endpoint.name} within {found.horizon_days:g} days: {found.n_visits:,} visits of "
        f"{found.n_patients:,} {card.provenance} patients, {found.patient_months:,.0f} patient-months ({card.title})",
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
    return (
        text_of(told.per_patient_month),
        text_of(told.caught, percent=True),
        text_of(told.lead_days, digits=0),
        text_of(rule.after_first_alert, percent=True),
    )


def _days(found: Monitoring) -> Table:
    title = f"Telling who will have the event within {found.horizon_days:g} days, by day since infusion"
    table = table_of(title, ("day", "marker"), ("patients", "events", "AUC", "IPA %"))
    for one in found.on_days:
        if one.either_way:  # single labs are on the page and in the JSON
            continue
        accuracy = "" if one.accuracy is None else text_of(one.accuracy, percent=True)
        table.add_row(
            f"{one.day:g}", one.marker, f"{one.n_patients:,}", f"{one.n_events:,}", text_of(one.auc), accuracy
        )
    return table


def plain(found: Monitoring) -> dict[str, Any]:
    """Everything, as JSON has it."""
    return {
        "endpoint": found.rows.endpoint.name,
        "cohort": found.rows.cohort.card.title,
        "provenance": found.rows.cohort.card.provenance,
        "horizon_days": found.horizon_days,
        "visits": found.n_visits,
        "patients": found.n_patients,
        "patient_months": found.patient_months,
        "rules": [asdict(rule) for rule in found.rules],
        "days": [asdict(one) for one in found.on_days],
    }
