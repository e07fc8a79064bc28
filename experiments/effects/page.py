"""A comparison of arms for people: one page, what was found first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.effects.adjustable import OUT_OF_BALANCE
from experiments.effects.analysis import Adjustment, CountedEffects, Effects, GroupEffects
from experiments.effects.figures import (
    balance_figure,
    counts_figure,
    overlap_figure,
)
from experiments.effects.individual_page import individual_section
from experiments.effects.lines import group_rows, lines_of, overlaps
from experiments.effects.sentences import assumptions, findings
from experiments.effects.withheld import Withheld
from experiments.estimate_lines import DIFFERENCE, RATIO, Line, arms_of, html_by_horizon, interval
from experiments.page.arms import at_risk_table, incidence_figures, last_day
from experiments.page.privacy import SMALLEST, WITHHELD, Disclosure
from experiments.page.shell import Heading, Section, figures, paragraph, render, words, write_page
from experiments.page.tables import html_table, number, p_value

COUNTED = ("mean number", "mean number" + DIFFERENCE, "mean number" + RATIO)


def write_effects_page(path: Path, effects: Effects) -> None:
    """Write the page; counts below `SMALLEST` of real patients are withheld on it.

    Raises:
        SequelaError: It cannot be written.
    """
    question = effects.question
    card = question.cohort.card
    shown = Disclosure.of(question.cohort)
    withheld = Withheld.of(effects, shown)
    real = card.provenance == "real"
    heading = Heading(
        title=f"{words(question.endpoint.name)} by {question.by}",
        kind="comparison of arms",
        banner="" if real else "Simulated patients: nothing here says anything about a treatment.",
        facts={
            "Cohort": f"{card.title} ({card.provenance})",
            "Citation": card.citation,
            "Endpoint": f"{question.endpoint.name}, from day {question.landmark_day:g}",
            "Arms": ", ".join(question.arms.names),
            "Adjusted for": "" if question.covariates is None else ", ".join(question.covariates.names),
            "Strata": question.centre or "",
        },
        tiles={"patients": f"{len(question.arms):,}", "arms": f"{len(question.arms.names)}"},
    )
    lines = lines_of(effects)
    sections = [
        Section("found", "What was found", "".join(map(paragraph, findings(effects, shown)))),
        _incidence(effects, lines, shown, withheld),
        _hazards(effects, lines, withheld),
        _lost(lines, withheld),
    ]
    if effects.adjustment is not None:
        sections.append(_adjustment(effects, effects.adjustment, shown))
    if effects.counted is not None:
        sections.append(_counts(effects, effects.counted, lines, withheld))
    if effects.groups is not None:
        sections.append(_groups(effects, effects.groups, shown, withheld))
    if effects.individual is not None:
        sections.append(individual_section(effects, shown, withheld))
    sections.append(_assumed(effects, shown))
    write_page(path, render(heading, sections))


def _incidence(effects: Effects, lines: Sequence[Line], shown: Disclosure, withheld: Withheld) -> Section:
    arms = effects.question.arms
    last = last_day(arms, float(effects.question.horizons_days[-1]))
    drawn = zip(incidence_figures(arms, last, shown, effects.curves), effects.causes, strict=True)
    body = figures([(figure, _caption(effects, k, shown), one.cause) for k, (figure, one) in enumerate(drawn)], "aj")
    body += at_risk_table(arms, last, shown)
    body += html_by_horizon(("risk", "risk" + DIFFERENCE, "risk" + RATIO), lines, withheld.line, "arm")
    if effects.adjustment is not None:
        body += _e_values(effects, withheld)
    return Section("incidence", "Cumulative incidence", body)


def _caption(effects: Effects, cause: int, shown: Disclosure) -> str:
    arms = effects.question.arms
    counts = shown.parts([int((arms.of(k).cause == cause + 1).sum()) for k in range(len(arms.names))])
    said = ", ".join(f"{name} {text}" for name, text in zip(arms.names, counts, strict=True))
    gray = effects.causes[cause].gray
    test = "" if gray is None else f" Gray's test: p {p_value(gray.p)}."
    dashed = _dashed(effects, cause)
    return f"Aalen–Johansen curves as the arms are, with pointwise 95 % intervals.{dashed} Events: {said}.{test}"


def _dashed(effects: Effects, cause: int) -> str:
    """What the dashed lines of a cause are, and of which arms there is none."""
    if effects.curves is None:
        return ""
    names, curves = effects.question.arms.names, effects.curves.incidence
    none = [name for k, name in enumerate(names) if not np.isfinite(curves[k, cause]).all()]
    given_up = f" Targeting was given up in {', '.join(none)}." if none else ""
    return (" Dashed: targeted, had everyone been in each arm." if len(none) < len(names) else "") + given_up


def _hazards(effects: Effects, lines: Sequence[Line], withheld: Withheld) -> Section:
    rows = []
    for one in effects.causes:
        for name, test in (("Gray", one.gray), ("log-rank", one.log_rank)):
            if test is not None:
                cells = (f"{test.statistic:.2f}", f"{test.degrees}") if np.isfinite(test.p) else ("–", "–")
                rows.append((words(one.cause), name, *cells, p_value(test.p)))
    body = html_table("Tests that all arms are alike", ("cause", "test", "χ²", "df", "p"), rows, numeric_from=2)
    body += _ratios("Hazard ratios", [line for line in lines if "hazard" in line.quantity], withheld)
    body += paragraph(
        "Gray's test and the subdistribution hazard ratio ask whether incidences differ; the log-rank test and the "
        "cause-specific hazard ratio whether the rate among those still free of any event does."
    )
    return Section("hazards", "Tests and hazards", body)


def _lost(lines: Sequence[Line], withheld: Withheld) -> Section:
    body = paragraph("Mean days lost to each cause within a horizon: the area under its curve.")
    body += html_by_horizon(("time lost", "time lost" + DIFFERENCE), lines, withheld.line, "arm")
    return Section("lost", "Restricted mean time lost", body)


def _ratios(caption: str, lines: Sequence[Line], withheld: Withheld) -> str:
    rows = [
        (words(line.cause), arms_of(line), line.quantity, line.method)
        + ((WITHHELD, WITHHELD) if withheld.line(line) else (interval(line), p_value(line.estimate.p)))
        for line in lines
    ]
    columns = ("cause", "arm", "ratio", "method", "estimate [95 % interval]", "p")
    return html_table(caption, columns, rows, numeric_from=4)


def _e_values(effects: Effects, withheld: Withheld) -> str:
    question = effects.question
    cause, first = effects.causes[0].cause, question.arms.names[0]
    rows = [
        (arm, f"{day:g}", number(value.point), number(value.limit))
        if withheld.causes.isdisjoint(((cause, arm), (cause, first)))
        else (arm, f"{day:g}", WITHHELD, WITHHELD)
        for arm, values in zip(question.arms.names[1:], effects.e_values, strict=True)
        for day, value in zip(question.horizons_days, values, strict=True)
    ]
    caption = f"E-values of the {effects.compared[-1].method} ratio of risks of {effects.causes[0].cause}"
    return html_table(caption, ("arm", "by day", "of the estimate", "of its interval"), rows) + paragraph(
        "By what ratio of risks something left out would have to go with the arm and with the outcome to explain the "
        "estimate, or to bring its interval to no effect; 1: nothing need be explained."
    )


def _adjustment(effects: Effects, adjustment: Adjustment, shown: Disclosure) -> Section:
    names = effects.question.arms.names
    shown_arms = range(1, len(names)) if len(names) > 2 else (1,)
    said = f"Largest difference of any arm to {names[0]}; dashed: {OUT_OF_BALANCE:g}."
    drawn = [(balance_figure(adjustment.balance), said, "Balance of covariates before and after weighting")]
    for k in shown_arms:
        figure = overlap_figure(effects, adjustment, k, shown)
        drawn.append((figure, "Where the shapes do not overlap, nobody can be compared.", f"Overlap of {names[k]}"))
    body = figures(drawn, "adjust", small=False)
    rows = [
        (
            one.arm,
            model,
            f"{one.n_rows:,}",
            f"{one.effective:.0f}",
            # The least and the greatest are each one patient's.
            *(WITHHELD if shown.guarded else number(v) for v in (one.lowest, one.highest, one.largest_weight)),
        )
        for one, model in overlaps(adjustment)
    ]
    columns = ("arm", "model", "patients", "worth once weighted", "least probability", "greatest", "largest weight")
    body += html_table("Overlap: probability of each arm given the covariates", columns, rows, numeric_from=2)
    differences = [(one.name, one.arm, number(one.before), number(one.after)) for one in adjustment.balance]
    caption = "Balance: standardised mean differences"
    body += html_table(caption, ("covariate", "arm", "as they are", "weighted"), differences, numeric_from=2)
    return Section("adjustment", "Balance and overlap", body)


def _counts(effects: Effects, of: CountedEffects, lines: Sequence[Line], withheld: Withheld) -> Section:
    event = of.counted.recurrences.name
    caption = "Mean number of events a patient, with pointwise 95 % intervals."
    if len(of.curves) > 1:
        caption += " Dashed: weighted, had everyone been in each arm."
    body = figures(
        [(counts_figure(effects, of, withheld.counted), caption, f"Mean number of events {event} by arm")], "counts"
    )
    rates = [line for line in lines if line.quantity == "rate ratio"]
    body += _ratios("Ratio of rates", rates, withheld)
    body += paragraph(
        "Both methods estimate one ratio. Andersen and Gill's interval takes a patient's events as independent of one "
        "another; that of Lin, Wei, Yang and Ying (LWYY) does not, and is the one to go by."
    )
    body += html_by_horizon(COUNTED, lines, withheld.line, "arm")
    return Section("counts", f"Events that come back: {words(event)}", body)


def _groups(effects: Effects, of: GroupEffects, shown: Disclosure, withheld: Withheld) -> Section:
    columns = ("group", "patients", "arm", *(f"by day {day:g}" for day in effects.question.horizons_days))
    caption = f"Difference of risks of {words(effects.causes[0].cause)}, percentage points ({of.method})"
    table = html_table(
        caption, columns, group_rows(effects, of, shown.parts([one.n_rows for one in of.groups]), withheld.group)
    )
    return Section("groups", "Effects in groups of patients", table)


def _assumed(effects: Effects, shown: Disclosure) -> Section:
    question = effects.question
    body = "".join(map(paragraph, assumptions(effects, shown)))
    if question.n_left_out:
        body += paragraph(f"Of some patients at risk {question.by} is not known; they are left out.")
    if question.cohort.card.provenance == "real":
        body += paragraph(
            f"The patients are real; counts from 1 to {SMALLEST - 1}, and what they follow from, are not shown."
        )
    return Section("assumed", "What this assumes", body)
