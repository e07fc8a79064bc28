"""The section on whom thresholds of risk select."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.page.arms import at_risk_table, incidence_figures
from experiments.page.shell import Section, absent, figures, folded, paragraph, subheading
from experiments.page.tables import count_and_share, html_table
from experiments.run_page import said_of_selection as said
from experiments.run_page.analysis import Analysis
from experiments.run_page.card_of import subgroup_counts
from experiments.run_page.facts import estimate
from experiments.run_page.figures_selection import threshold_figure
from experiments.run_page.said_of_selection import needed, percent
from experiments.run_page.selection import GroupSelected, Selection, TierOfRisk
from experiments.run_page.subgroups import LEAST_EVENTS, LEAST_PATIENTS
from training.evaluation.patient_selection import Selected

MOST_PANELS = 6


def selection_section(a: Analysis) -> Section:
    """Tiers, thresholds and groups."""
    title = "Selection of patients"
    if not a.selections:
        return Section("selection", title, absent("Too few events to say whom a threshold selects."))
    at = a.selections[0].horizon_days
    body = paragraph(
        f"Whom would the predicted risk of {a.cause} within {at:g} days select, and what became of those selected and "
        "of the others?"
    )
    for of in a.selections:
        body += "".join(paragraph(said.selected(a, of, of.of(threshold))) for threshold in of.thresholds)
    body += paragraph(said.withheld(a)) if said.withheld(a) else ""
    body += _tiers(a) + _thresholds(a) + _groups(a) + paragraph(said.rests_on(a))
    return Section("selection", title, body)


def _tiers(a: Analysis) -> str:
    last = a.record.rows.endpoint.horizons_days[-1]
    parts: list[tuple[Figure, str, str]] = []
    at_risk = ""
    for of in a.selections:
        if of.arms is None:
            continue
        drawn = incidence_figures(of.arms, min(last, _followed(of)), a.shown, of.predicted)
        text = said.tiers(of)
        for k, (cause, figure) in enumerate(zip(a.record.rows.endpoint.causes, drawn, strict=True)):
            if not all(tier.told[k] for tier in of.tiers):
                continue
            words = f"Incidence of {cause} by tier of the predicted risk of {a.cause}, from day {of.day:g}."
            alternative = f"{words} {text}" if cause == a.cause else words
            parts.append((figure, f"{words} Steps with bands: observed; dashed: mean predicted.", alternative))
        at_risk += at_risk_table(of.arms, last, a.shown, f"tier, from day {of.day:g}")
    body = subheading("Tiers of risk") + "".join(paragraph(said.tiers(of)) for of in a.selections)
    body += figures(parts[:MOST_PANELS], "tiers") if parts else ""
    body += folded("Patients at risk by tier", at_risk) if at_risk else ""
    rows = [row for of in a.selections for tier in of.tiers for row in _tier_rows(a, of, tier)]
    caption = f"Mean predicted against observed incidence by {a.selections[0].horizon_days:g} days, with 95 % intervals"
    return body + html_table(caption, ("tier and cause", "patients", "predicted", "observed"), rows)


def _followed(of: Selection) -> float:
    assert of.arms is not None  # noqa: S101 - for the type checker
    return float(of.arms.outcomes.duration_days.max())


def _tier_rows(a: Analysis, of: Selection, tier: TierOfRisk) -> list[tuple[str, ...]]:
    n = sum(one.n_patients for one in of.tiers)
    heading = f"{tier.name}{_range(of, tier)}, from day {of.day:g}"
    rows: list[tuple[str, ...]] = [(heading, count_and_share(f"{tier.n_patients:,}", tier.n_patients, n), "", "")]
    if not tier.n_patients:
        return rows
    for k, cause in enumerate(a.record.rows.endpoint.causes):
        observed = estimate(tier.observed[k], percent=True) if tier.told[k] else "withheld"
        rows.append((f"  {cause}", "", f"{100 * tier.predicted[k]:.1f} %", observed))
    return rows


def _range(of: Selection, tier: TierOfRisk) -> str:
    above = min((one.from_risk for one in of.tiers if one.from_risk > tier.from_risk), default=None)
    if above is None:
        return f" ({percent(tier.from_risk)} or more)" if tier.from_risk else ""
    begin = f"{percent(tier.from_risk)} to " if tier.from_risk else ""
    return f" ({begin}below {percent(above)})"


def _thresholds(a: Analysis) -> str:
    text = (
        "How much hangs on where a tier begins: the same a quarter and a half below and above each threshold. Where "
        "numbers change little from row to row, the exact threshold matters little."
    )
    parts = [
        (threshold_figure(of.at, of.thresholds, of.day, of.horizon_days), caption, _words(of))
        for of in a.selections
        if len(of.at) > 1
        for caption in ["Bands are 95 % intervals; upright lines are where tiers begin."]
    ]
    body = subheading("Sensitivity to thresholds")
    if not any(of.at for of in a.selections):
        return body + absent("No threshold can be shown.")
    body += paragraph(text) + (figures(parts, "thresholds", small=True) if parts else "")
    columns = (
        "selected from",
        "patients",
        "observed risk of selected (PPV)",
        "observed risk of others (1 − NPV)",
        "sensitivity",
        "specificity",
        "needed to watch",
        f"needed to treat, if {percent(a.relative_risk_reduction)} of the risk is taken away",
    )
    rows = [_row(a, of, one) for of in a.selections for one in of.at]
    return body + html_table("Selection by threshold, with 95 % intervals", columns, rows)


def _words(of: Selection) -> str:
    first, last = of.at[0], of.at[-1]
    return (
        f"From day {of.day:g}, selecting from {percent(first.threshold)} to {percent(last.threshold)} on: "
        f"{first.share.point:.0%} to {last.share.point:.0%} of patients selected, sensitivity "
        f"{estimate(first.sensitivity, percent=True)} to {estimate(last.sensitivity, percent=True)}."
    )


def _row(a: Analysis, of: Selection, one: Selected) -> tuple[str, ...]:
    tier = " (a tier begins)" if one.threshold in of.thresholds else ""
    return (
        f"{percent(one.threshold)}{tier}, from day {of.day:g}",
        count_and_share(f"{one.n_selected:,}", one.n_selected, one.n_rows),
        *(
            estimate(value, percent=True)
            for value in (one.ppv, one.risk_below, one.sensitivity, one.specificity)
        ),
        needed(one.number_needed_to_watch, 1),
        needed(one.number_needed_to_treat(a.relative_risk_reduction), 1),
    )  # fmt: skip


def _groups(a: Analysis) -> str:
    of = a.selections[0]
    if not of.groups or not of.thresholds:
        return ""
    body = subheading("By product, disease and other groups")
    body += "".join(map(paragraph, said.groups(of)))
    for k, threshold in enumerate(of.thresholds):
        summary = f"Groups at a risk of {percent(threshold)} or more"
        table = _group_table(a, of, k)
        body += folded(summary, table) if k else table
    return body


def _group_table(a: Analysis, of: Selection, k: int) -> str:
    """At the k-th of the thresholds."""
    patients = [text for text, _ in subgroup_counts(a)]
    rows = [_group_row(one, n, one.at[k]) for one, n in zip(of.groups, patients, strict=True)]
    columns = ("group", "patients", "selected", "observed risk of selected", "of others", "needed to watch")
    caption = (
        f"Selected in groups at a risk of {percent(of.thresholds[k])} or more, by {of.horizon_days:g} days from day "
        f"{of.day:g}, with 95 % intervals"
    )
    return html_table(caption, columns, rows)


def _group_row(group: GroupSelected, n: str, one: Selected | None) -> tuple[str, ...]:
    heading = f"{group.variable}: {group.level}"
    if one is None:
        why = "too few to tell" if group.n_patients < LEAST_PATIENTS else "withheld"
        return heading, n, why, "–", "–", "–"
    share = count_and_share(f"{one.n_selected:,}", one.n_selected, one.n_rows)
    others = estimate(one.risk_below, percent=True)
    if one.n_events < LEAST_EVENTS:
        return heading, n, share, "too few events", others, "–"
    return heading, n, share, estimate(one.ppv, percent=True), others, needed(one.number_needed_to_watch, 1)
