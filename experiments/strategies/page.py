"""A comparison of strategies for people: one page, what was found first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.estimate_lines import DIFFERENCE, RATIO, Line, html_by_horizon, interval
from experiments.interval_text import interval_text
from experiments.page.privacy import SMALLEST, WITHHELD, Disclosure
from experiments.page.shell import Heading, Section, absent, figures, paragraph, render, words, write_page
from experiments.page.tables import html_table, number, p_value
from experiments.strategies.analysis import Strategies
from experiments.strategies.benefit_risk import EVENT
from experiments.strategies.figures import incidence_figure, plane_figure, weights_figure, worth_figure
from experiments.strategies.lines import QUANTILES, lines_of, plane_columns, plane_rows, seen_lines, weight_rows
from experiments.strategies.protocol import protocol
from experiments.strategies.sentences import assumptions, findings, seen_sentences
from experiments.strategies.withheld import Withheld


def write_strategies_page(path: Path, found: Strategies) -> None:
    """Write the page; counts below `SMALLEST` of real patients are withheld on it.

    Raises:
        SequelaError: It cannot be written.
    """
    question = found.question
    card, asked = question.cohort.card, question.asked
    shown = Disclosure.of(question.cohort)
    withheld = Withheld.of(found, shown)
    heading = Heading(
        title=f"{words(question.endpoint.name)} under strategies of {words(asked.treatment)}",
        kind="emulated target trial",
        banner="" if card.provenance == "real" else "Simulated patients: nothing here says anything about a treatment.",
        facts={
            "Cohort": f"{card.title} ({card.provenance})",
            "Citation": card.citation,
            "Endpoint": f"{question.endpoint.name}, from day {question.landmark_day:g}",
            "Strategies": "; ".join(question.names),
            "Adjusted for": ", ".join((*asked.adjust, *question.changing.names)),
        },
        tiles={"patients": f"{len(question.rows):,}", "strategies": f"{len(question.names)}"},
    )
    lines = lines_of(found)
    sections = [
        Section("found", "What was found", "".join(map(paragraph, findings(found, shown)))),
        _protocol(found),
        _incidence(found, lines, withheld),
        _lost(lines, withheld),
        _benefit_risk(found, withheld),
        _clones(found, shown),
        _positivity(found, shown),
        _seen(found, shown, withheld),
        _assumed(found, shown),
    ]
    write_page(path, render(heading, sections))


def _protocol(found: Strategies) -> Section:
    rows = [(one.name, one.trial, one.emulation) for one in protocol(found.question, found.n_resamples)]
    table = html_table(
        "The trial that would answer the question", ("", "target trial", "emulation"), rows, numeric_from=3
    )
    return Section("protocol", "The target trial", table)


def _incidence(found: Strategies, lines: Sequence[Line], withheld: Withheld) -> Section:
    causes = found.question.outcomes.causes
    said = f"Weighted Aalen–Johansen curves with pointwise 95 % intervals; dashed: {found.question.natural}."
    drawn = [
        (incidence_figure(found, k, withheld), said, f"Incidence of {cause} under each strategy")
        for k, cause in enumerate(causes)
    ]
    body = figures(drawn, "aj")
    body += html_by_horizon(("risk", "risk" + DIFFERENCE, "risk" + RATIO), lines, withheld.line, "strategy")
    return Section("incidence", "Cumulative incidence under each strategy", body)


def _lost(lines: Sequence[Line], withheld: Withheld) -> Section:
    body = paragraph("Mean days lost to each cause within a horizon: the area under its curve.")
    body += html_by_horizon(("time lost", "time lost" + DIFFERENCE), lines, withheld.line, "strategy")
    return Section("lost", "Restricted mean time lost", body)


def _benefit_risk(found: Strategies, withheld: Withheld) -> Section:
    question, left_out = found.question, withheld.strategies
    title = "Benefit against risk"
    if question.names[0] in left_out or len(left_out & set(question.names)) >= len(question.names) - 1:
        return Section("benefit", title, absent("Withheld: few who follow a strategy met a cause."))
    worth = ", ".join(f"{name} {value:g}" for name, value in zip(question.states, question.worth, strict=True))
    event = question.outcomes.causes[0]
    drawn = [
        (
            plane_figure(found, left_out),
            "Dots with 95 % intervals; ellipses hold benefit and harm at once with 95 %.",
            "Benefit against risk by strategy",
        ),
        (
            weights_figure(found, left_out),
            f"The other weights as they are; dashed: {question.worth[EVENT]:g}.",
            f"Weighted days by the worth of a day after {event}",
        ),
    ]
    body = paragraph(
        f"Mean days up to day {question.horizons_days[-1]:g}, each weighed by what it is worth: {worth}. These are "
        f"judgements; --weights sets others. Days after a first event count as days after it, whatever follows."
    )
    body += figures(drawn, "benefit")
    body += html_table(f"By day {question.horizons_days[-1]:g}", plane_columns(found), plane_rows(found, left_out))
    return Section("benefit", title, body)


def _clones(found: Strategies, shown: Disclosure) -> Section:
    question = found.question
    said = "Where the lines part, few patients stand for many; where both are low, late estimates are rough."
    body = figures([(worth_figure(found, shown), said, "Clones and their worth by day")], "worth", small=False)
    rows = []
    for name, one in zip(question.names, found.clones, strict=True):
        parts = [one.n_deviated, one.n_ended, *map(int, one.events), one.n_left]
        pairs = zip(one.n_followed, one.effective, strict=True)
        worth = [WITHHELD if shown.guarded and n < SMALLEST else number(value) for n, value in pairs]
        rows.append((name, *shown.parts(parts), *worth))
    columns = ("strategy", "deviated", "ended", *question.outcomes.causes, "left")
    columns += tuple(f"worth on day {day:g}" for day in question.horizons_days)
    body += html_table(f"What became of {len(question.rows):,} clones by the last horizon", columns, rows)
    weights = [
        (
            name,
            *map(number, quantiles),
            # The largest is one patient's.
            *(WITHHELD if shown.guarded else number(value) for value in (largest, limit)),
        )
        for name, quantiles, largest, limit in weight_rows(found)
    ]
    heads = ("strategy", *(f"{100 * q:g} % below" for q in QUANTILES), "largest", "lowered to")
    body += html_table("Stabilised weights on all days", heads, weights)
    return Section("clones", "Clones and weights", body)


def _positivity(found: Strategies, shown: Disclosure) -> Section:
    stretches = found.positivity
    counts = shown.parts([one.n_starts for one in stretches])
    rows = [
        (
            f"{one.first_day} to {one.last_day}",
            f"{one.likely} likely",
            shown.count(one.n_patients),
            f"{one.n_patient_days:,}",
            count,
            f"{one.expected:.1f}",
        )
        for one, count in zip(stretches, counts, strict=True)
    ]
    columns = ("days", "third", "patients", "patient-days", "starts", "expected by the model")
    body = paragraph(
        "Patient-days of those not yet treated, in thirds by how likely a start was. Where nobody starts, nobody "
        "stands for those who ought to; where starts and expectation part, the model of starts is wrong."
    )
    body += html_table("Starts seen and expected", columns, rows, numeric_from=2)
    return Section("positivity", "Who starts, and when nobody does", body)


def _seen(found: Strategies, shown: Disclosure, withheld: Withheld) -> Section:
    question, seen = found.question, found.seen
    body = "".join(map(paragraph, seen_sentences(found, shown)))
    rows = []
    for line in seen_lines(found):
        counts = seen.events[:, question.outcomes.causes.index(line.cause)]
        cells = [WITHHELD] * 6
        if line.cause not in withheld.seen:
            rates = [
                (f"{n:,}", number(1000 * n / days if days else np.nan))
                for n, days in zip(counts, seen.patient_days, strict=True)
            ]
            cells = [*rates[0], *rates[1], interval(line), p_value(line.estimate.p)]
        rows.append((words(line.cause), line.method, *cells))
    columns = ("cause", "method", "without", "per 1,000 days", "after the start", "per 1,000 days", "hazard ratio", "p")
    body += html_table("Events before and after the start, over all follow-up", columns, rows, numeric_from=2)
    if withheld.seen:
        body += absent("States are withheld: few had an event before the start, or after.")
    else:
        states = [
            (
                words(state),
                *(interval_text(row[k].point, row[k].low, row[k].high, percent=True) for row in seen.occupied),
            )
            for k, state in enumerate(seen.states.states)
        ]
        heads = ("state", *(f"day {day:g}" for day in question.horizons_days))
        caption = f"Probability of each state, per cent: without {words(question.asked.treatment)}, with it, and after"
        body += html_table(caption, heads, states)
    return Section("seen", "As it was seen", body)


def _assumed(found: Strategies, shown: Disclosure) -> Section:
    body = "".join(map(paragraph, assumptions(found, shown)))
    if found.question.cohort.card.provenance == "real":
        body += paragraph(
            f"The patients are real; counts from 1 to {SMALLEST - 1}, and what they follow from, are not shown."
        )
    return Section("assumed", "What this assumes", body)
