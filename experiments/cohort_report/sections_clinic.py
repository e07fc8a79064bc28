"""The sections that need no cells: findings, follow-up, incidence, baseline, missingness, trajectories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.cohort_report.figures_clinic import (
    co_missing_map,
    follow_up_figure,
    incidence_figure,
    known_bars,
    known_map,
    trajectory_figure,
)
from experiments.cohort_report.follow_up import (
    all_curves,
    endpoints_or_events,
    follow_up_outcomes,
)
from experiments.cohort_report.missingness import (
    MOST_VARIABLES,
    Known,
    baseline_known,
    co_missing,
    landmarks_of,
    measured_known,
)
from experiments.cohort_report.tables import baseline_rows, event_rows, finding_rows
from experiments.cohort_report.trajectories import MOST_VARIABLES as MOST_TRAJECTORIES
from experiments.cohort_report.trajectories import Trajectory, measured_variables, trajectory
from experiments.page.curves import Curves, drawn_causes, median_follow_up
from experiments.page.drawing import listed
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Section, absent, figures, folded, paragraph
from experiments.page.tables import html_table, number
from features.cohort import Cohort
from features.errors import Finding
from features.patients import Patients
from features.schema import Endpoint

MOST_CURVES = 12


def findings_section(findings: Sequence[Finding]) -> Section:
    """What the check found, without rows and values."""
    body = absent("The check found nothing to mend.")
    if findings:
        rows = finding_rows(findings)
        body = html_table("Findings by rule and place", ("finding", "where", "how many", "rule and remedy"), rows)
        body = body.replace('class="n"', "").replace("class=n", "")
        body += paragraph("Rows and values are not repeated here; sequela check lists them.")
    return Section("findings", "Findings of the check", body)


def follow_up_section(cohort: Cohort, shown: Disclosure, rng: np.random.Generator) -> Section:
    """Median follow-up and its curve, and a table of events."""
    outcomes = follow_up_outcomes(cohort)
    if outcomes is None or shown.small(len(outcomes)):
        why = "Nobody is followed beyond infusion." if outcomes is None else f"Fewer than {SMALLEST} are followed."
        return Section("follow-up", "Follow-up and events", absent(why))
    median = median_follow_up(outcomes, rng)
    interval = f" (95 % interval {number(median.low)} to {number(median.high)})" if np.isfinite(median.low) else ""
    text = (
        f"Median follow-up is {number(median.point)} days{interval} by the reverse Kaplan–Meier method, in which death "
        "ends observation as loss of contact otherwise does."
        if np.isfinite(median.point)
        else "The reverse Kaplan–Meier curve does not fall to one half, so that median follow-up is not reached."
    )
    caption = "Reverse Kaplan–Meier curve; dashed: the median; the bar: its 95 % interval by resampling patients."
    body = paragraph(text) + figures([(follow_up_figure(outcomes, median, shown), caption, text)], "fu")
    rows = event_rows(cohort, shown)
    columns = ("event", "patients", "events", "by grade", "first day, median [quartiles]")
    body += html_table("Events", columns, rows) if rows else absent("The cohort has no events.")
    return Section("follow-up", "Follow-up and events", body)


def incidence_section(
    cohort: Cohort, endpoints: Sequence[Endpoint], shown: Disclosure, rng: np.random.Generator
) -> Section:
    """Aalen–Johansen curves of each endpoint, or of each event against death."""
    title = "Cumulative incidence"
    if cohort.events.empty:
        return Section("incidence", title, absent("The cohort has no events."))
    chosen = endpoints_or_events(cohort, endpoints)
    curves, why = all_curves(cohort, chosen, rng)
    drawn = [of for of in curves if drawn_causes(of, shown)]
    for of in curves:
        if not drawn_causes(of, shown):
            least = f"fewer than {SMALLEST} events" if shown.guarded else "no events"
            why[f"{of.endpoint} from day {of.landmark_day:g}"] = f"{least} of any cause"
    body = paragraph(
        "Aalen–Johansen estimates with competing causes, from the patients at risk at the landmark; bands are "
        "pointwise 95 % intervals by resampling patients. Curves end where fewer than "
        f"{SMALLEST} patients are at risk."
    )
    if not endpoints:
        body += paragraph("No endpoint was given: each event is shown as the event of interest, against death.")
    parts = [(incidence_figure(of, shown), _counts(of, shown), _in_words(of, shown)) for of in drawn[:MOST_CURVES]]
    body += figures(parts, "aj") if parts else ""
    if len(drawn) > MOST_CURVES:
        rest = [f"{of.endpoint} from day {of.landmark_day:g}" for of in drawn[MOST_CURVES:]]
        body += paragraph(f"Not drawn, for want of room: {', '.join(rest)}.")
    body += "".join(absent(f"{name}: {reason}.") for name, reason in why.items())
    return Section("incidence", title, body)


def _counts(curves: Curves, shown: Disclosure) -> str:
    counts = curves.outcomes.counts()
    parts = shown.parts(list(counts.values()))
    named = ", ".join(f"{name} {text}" for name, text in zip(counts, parts, strict=True))
    return f"{len(curves.outcomes):,} patients at risk: {named}."


def _in_words(curves: Curves, shown: Disclosure) -> str:
    last = curves.times_days[-1]
    ends = [
        f"{curves.outcomes.causes[k]} {curves.incidence[k, -1]:.0%} "
        f"({curves.low[k, -1]:.0%} to {curves.high[k, -1]:.0%})"
        for k in drawn_causes(curves, shown)
    ]
    return (
        f"Cumulative incidence of {curves.endpoint} from day {curves.landmark_day:g}: "
        f"{', '.join(ends)} by {last:g} days from the landmark."
    )


def baseline_section(cohort: Cohort, shown: Disclosure) -> Section:
    """Table 1."""
    rows = baseline_rows(cohort, shown)
    if not rows:
        return Section("baseline", "Baseline", absent("The cohort has no baseline variables."))
    columns = ("variable", "median [quartiles], or n (%)", "missing, n (%)")
    caption = f"Baseline of {len(cohort.patients):,} patients; shares of levels are of those in whom it is known"
    return Section("baseline", "Baseline", html_table(caption, columns, rows))


def missingness_section(
    cohort: Cohort, patients: Patients, endpoints: Sequence[Endpoint], shown: Disclosure
) -> Section:
    """What is known of whom, and what is missing together."""
    title = "Missing values"
    landmarks = landmarks_of(endpoints)
    at_baseline = baseline_known(cohort, shown)
    measured = measured_known(cohort, patients, landmarks, shown)
    if not at_baseline.names and not measured.names:
        return Section("missing", title, absent("The cohort has neither baseline variables nor measurements."))
    parts = []
    if at_baseline.names:
        few = _first(at_baseline)
        complete = int((at_baseline.share == 1).sum())
        words = f"{complete} of {len(at_baseline.names)} baseline variables are known of every patient."
        parts.append((known_bars(few), f"{words}{_rest(at_baseline)}", words))
    if measured.names and measured.columns:
        few = _first(measured)
        words = "Share of the patients followed to that day who have at least one value by then."
        parts.append((known_map(few), f"{words}{_rest(measured)}", words))
    together = co_missing(cohort, patients, landmarks[0], shown)
    if together is not None:
        words = "Correlation of missingness (phi): 1 always missing together, −1 never, 0 unrelated."
        parts.append((co_missing_map(together), words, words))
    body = figures(parts, "missing")
    if not measured.names:
        body += absent("The cohort has no measurements.")
    if together is None:
        body += absent("Fewer than two variables are missing in some patients and known in others: no co-missingness.")
    return Section("missing", title, body)


def _first(known: Known) -> Known:
    return Known(known.names[:MOST_VARIABLES], known.columns, known.share[:MOST_VARIABLES])


def _rest(known: Known) -> str:
    rest = known.names[MOST_VARIABLES:]
    return f" Not drawn: {listed(rest)}." if rest else ""


def trajectories_section(cohort: Cohort, shown: Disclosure, rng: np.random.Generator) -> Section:
    """Repeated measurements of the variables that most patients have."""
    title = "Trajectories"
    variables = measured_variables(cohort)
    if not variables:
        return Section("trajectories", title, absent("The cohort has no measurements."))
    made = [trajectory(cohort, name, shown, rng) for name, _, _ in variables[:MOST_TRAJECTORIES]]
    drawn = [of for of in made if of is not None]
    lines = (
        "Thin lines are single patients, chosen by chance. "
        if shown.individual_lines
        else "Lines of single patients are not drawn. "
    )
    body = paragraph(
        f"{lines}The thick line is the median over patients and the band the middle half of them, in windows of days "
        f"with at least {SMALLEST} patients; a patient counts once in a window, with the median of the values."
    )
    parts = [(trajectory_figure(of), _trajectory_caption(of, shown), _trajectory_words(of)) for of in drawn]
    body += figures(parts, "lab", small=True) if parts else ""
    few = [name for (name, _, _), of in zip(variables, made, strict=False) if of is None]
    body += absent(f"Too few patients to be shown: {', '.join(few)}.") if few else ""
    rest = variables[MOST_TRAJECTORIES:]
    if rest:
        rows = [(name, shown.count(n), shown.count(m) if shown.small(n) else f"{m:,}") for name, n, m in rest]
        body += folded(
            f"{len(rows)} more variables are measured, and not drawn",
            html_table("Variables of fewer patients or values", ("variable", "patients", "values"), rows),
        )
    return Section("trajectories", title, body)


def _trajectory_caption(of: Trajectory, shown: Disclosure) -> str:
    scale = {"linear": "", "log": " Logarithmic scale.", "symlog": " Logarithmic scale, linear near zero."}[of.scale]
    return f"{of.n_values:,} values of {shown.count(of.n_patients)} patients.{scale}"


def _trajectory_words(of: Trajectory) -> str:
    return (
        f"{of.label}: median {number(float(of.median[0]))} on day {of.day[0]:g} and "
        f"{number(float(of.median[-1]))} on day {of.day[-1]:g}."
    )
