"""Sections on whom the model was trained: flow, Table 1, events and follow-up, incidence."""

from __future__ import annotations

from experiments.page.curves import drawn_causes
from experiments.page.privacy import SMALLEST
from experiments.page.shell import Section, absent, figures, paragraph
from experiments.page.tables import html_table
from experiments.run_page import facts
from experiments.run_page.analysis import Analysis, FromLandmark
from experiments.run_page.figures import incidence_figure
from experiments.run_page.who import flow_rows, table_one


def flow_section(a: Analysis) -> Section:
    """From the cohort to the rows that are scored."""
    columns = ("", *(f"from day {day:g}" for day in a.record.rows.endpoint.landmark_days))
    table = html_table("How many patients, and why others are left out", columns, flow_rows(a.record, a.shown))
    return Section("flow", "Flow of patients", paragraph(facts.population(a)) + table)


def table_one_section(a: Analysis) -> Section:
    """Baseline by what happened."""
    groups, rows = table_one(a.record, a.shown)
    day = a.record.rows.endpoint.landmark_days[0]
    if not rows:
        return Section("table-1", "Table 1", absent("The cohort has no baseline variables."))
    caption = f"Baseline of the patients at risk on day {day:g}, by what happened first: median [quartiles], or n (%)"
    text = "Groups are of the outcome: differences between them describe, and do not explain."
    return Section("table-1", "Table 1", html_table(caption, ("variable", *groups), rows) + paragraph(text))


def events_section(a: Analysis) -> Section:
    """Events by cause and horizon, and median follow-up."""
    endpoint = a.record.rows.endpoint
    rows = []
    for of in a.landmarks:
        for cause, text in facts.outcome_counts(a, of.at).items():
            if cause not in of.at.outcomes.causes:
                continue
            by = [a.record.score(of.at.day, cause, "n_events", at).point for at in endpoint.horizons_days]
            hidden = text != f"{of.at.outcomes.counts()[cause]:,}"
            words = [text if hidden else a.shown.count(int(n)) for n in by]
            rows.append((f"{cause}, from day {of.at.day:g}", *words, text))
    columns = ("cause", *(f"by {at:g} days" for at in endpoint.horizons_days), "in all")
    body = paragraph(facts.follow_up(a)) + html_table("Events among the scored patients", columns, rows)
    return Section("events", "Events and follow-up", body)


def incidence_section(a: Analysis) -> Section:
    """Observed against mean predicted incidence of every cause."""
    parts = [
        (incidence_figure(of.curves, of.at, a.shown), _caption(of, a), _incidence_words(of, a))
        for of in a.landmarks
        if drawn_causes(of.curves, a.shown)
    ]
    text = paragraph(
        "Steps are Aalen–Johansen estimates with pointwise 95 % bands; dashed lines are the mean of the predicted "
        "incidences. Where both agree the model is right on average, which says nothing of single patients."
    )
    body = text + figures(parts, "aj") if parts else absent(f"No cause has {SMALLEST} events.")
    return Section("incidence", "Observed and predicted incidence", body)


def _caption(of: FromLandmark, a: Analysis) -> str:
    left_out = [cause for k, cause in enumerate(of.at.outcomes.causes) if k not in drawn_causes(of.curves, a.shown)]
    return f"Not drawn, for want of events: {', '.join(left_out)}." if left_out else "Every cause of the endpoint."


def _incidence_words(of: FromLandmark, a: Analysis) -> str:
    last = float(of.curves.times_days[-1])
    reached = int((of.at.times_days <= last).sum()) - 1
    ends = [
        f"{of.at.outcomes.causes[k]} observed {of.curves.incidence[k, -1]:.0%} ({of.curves.low[k, -1]:.0%} to "
        f"{of.curves.high[k, -1]:.0%}), predicted {of.at.incidence[:, k, reached].mean():.0%}"
        for k in drawn_causes(of.curves, a.shown)
    ]
    return f"By {last:g} days from day {of.at.day:g}: {'; '.join(ends)}."
