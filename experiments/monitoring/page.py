"""What alerts would have done, for people: one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.monitoring.analysis import Monitoring
from experiments.monitoring.markers import MODEL
from experiments.monitoring.sentences import assumptions, findings, rule_text
from experiments.monitoring.shown import cells, scores
from experiments.page.drawing import FAINT, color_of, drawing, legend_below
from experiments.page.shell import Heading, Section, absent, figures, paragraph, render, write_page
from experiments.page.tables import html_table

MOST_DRAWN = 6
"""Rules in a figure: the model's, and those that catch most."""


def write_monitoring_page(path: Path, found: Monitoring) -> None:
    """Write the page; what would tell of a few real patients is withheld (`experiments.monitoring.withheld`).

    Raises:
        SequelaError: It cannot be written.
    """
    card, endpoint = found.rows.cohort.card, found.rows.endpoint
    heading = Heading(
        title=f"Watching for {endpoint.event.name.replace('_', ' ')}",
        kind="monitoring",
        banner="" if card.provenance == "real" else "Simulated patients: nothing here says anything about a real one.",
        facts={
            "Cohort": f"{card.title} ({card.provenance})",
            "Citation": card.citation,
            "Endpoint": endpoint.name,
            "Model": found.config.name,
            "Watched": f"days {endpoint.landmark_days[0]:g} to {endpoint.landmark_days[-1]:g} since infusion",
            "An alert is good for": f"{found.horizon_days:g} days",
        },
        tiles={
            "patients": found.shown.count(found.n_patients),
            "visits": f"{found.n_visits:,}",
            "patient-months": f"{found.patient_months:,.0f}",
        },
    )
    sections = [
        Section("found", "What was found", "".join(map(paragraph, findings(found)))),
        _rules(found),
        _days(found),
        Section("assumed", "What it rests on", "".join(map(paragraph, assumptions(found)))),
    ]
    write_page(path, render(heading, sections))


def _rules(found: Monitoring) -> Section:
    caption = (
        "Share of events before which an alert was raised, against the alerts that are raised; each point is a rule "
        "fixed on other patients, lines are 95 % intervals of the share."
    )
    drawn = absent("What every rule catches is withheld.")
    if not all(rule.withheld for rule in found.rules):
        drawn = figures([(_caught(found), caption, caption)], "caught")
    tables = [
        html_table(
            f"Rules with at most {borne:g} alerts a patient and month",
            ("Rule", "Alert", "Alerts a month", "Events caught, %", "Days before", "Risk after first alert, %"),
            [(rule.marker, rule_text(rule), *cells(rule)) for rule in found.rules if rule.borne == borne],
            numeric_from=2,
        )
        for borne in found.borne
    ]
    return Section("rules", "Alerts", drawn + "".join(tables))


def _caught(found: Monitoring) -> Figure:
    told_of = [rule for rule in found.rules if not rule.withheld]
    names = dict.fromkeys(rule.marker for rule in told_of)
    best = {name: max(r.performance.caught.point for r in told_of if r.marker == name) for name in names}
    others = sorted((name for name in names if name != MODEL), key=lambda name: -best[name])
    with drawing(3.4) as (figure, (axes,)):
        for index, name in enumerate((*({MODEL} & set(names)), *others[: MOST_DRAWN - 1])):
            told = [rule.performance for rule in told_of if rule.marker == name]
            rate = [one.per_patient_month.point for one in told]
            share = np.array([one.caught.point for one in told])
            reach = [share - [one.caught.low for one in told], np.array([one.caught.high for one in told]) - share]
            axes.errorbar(
                rate,
                share,
                yerr=np.nan_to_num(np.clip(reach, 0, None)),
                color=color_of(index),
                marker="osD^vP"[index],
                markersize=4,
                lw=1.8 if name == MODEL else 1,
                elinewidth=0.7,
                label=name,
            )
        axes.set(xlabel="alerts a patient and month", ylabel="events caught", ylim=(0, 1.02))
        axes.set_xlim(left=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="y", color=FAINT)
        legend_below(figure, axes)
    return figure


def _days(found: Monitoring) -> Section:
    if not found.on_days:
        return Section("days", "By day", absent("On no day do enough patients have the event within the horizon."))
    rows = [
        (
            f"{one.day:g}",
            one.marker,
            found.shown.count(one.n_patients),
            found.shown.count(one.n_events),
            *scores(one),
        )
        for one in found.on_days
    ]
    title = (
        f"Who will have the event within {found.horizon_days:g} days: patients at risk on a day of whom the marker is "
        "known. Below 0.5, low values go with the event"
    )
    table = html_table(
        title, ("Day", "Marker", "Patients", "Events", "AUC", "Brier score", "IPA, %"), rows, numeric_from=2
    )
    return Section("days", "By day", figures([(_auc(found), title, title)], "auc") + table)


def _auc(found: Monitoring) -> Figure:
    names = list(dict.fromkeys(one.marker for one in found.on_days))
    mean = {name: float(np.nanmean([one.auc.point for one in found.on_days if one.marker == name])) for name in names}
    chosen = [MODEL, *sorted((name for name in names if name != MODEL), key=lambda name: -abs(mean[name] - 0.5))]
    with drawing(3.4) as (figure, (axes,)):
        for index, name in enumerate(chosen[:MOST_DRAWN]):
            own = [one for one in found.on_days if one.marker == name]
            days = [one.day for one in own]
            told = [one.auc.point for one in own]
            axes.plot(days, told, color=color_of(index), marker="osD^vP"[index], markersize=4, label=name)
            if name == MODEL:
                low, high = [one.auc.low for one in own], [one.auc.high for one in own]
                axes.fill_between(days, low, high, color=color_of(index), alpha=0.15, lw=0)
        axes.axhline(0.5, color=FAINT, lw=1)
        axes.set(xlabel="days since infusion", ylabel="AUC")
        legend_below(figure, axes)
    return figure
