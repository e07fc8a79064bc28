"""The page of a screen: what was found, the volcanoes, the leading markers."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from experiments.biomarkers.analysis import LEVEL, CauseScreen, Screen
from experiments.biomarkers.figures import volcano
from experiments.biomarkers.lines import TESTED, further_columns, further_rows, tested_rows
from experiments.biomarkers.sentences import assumptions, findings
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Heading, Section, figures, paragraph, render
from experiments.page.tables import html_table

MOST_ROWS = 50
"""Of the table on the page; biomarkers.csv has all."""


def heading_of(screen: Screen, title: str, kind: str) -> Heading:
    """What stands above all: whose markers, of what, and whether they are real."""
    question = screen.question
    card = question.cohort.card
    counts = question.outcomes.counts()
    shown = Disclosure.of(question.cohort)
    events = shown.parts([counts[name] for name in question.outcomes.causes])
    return Heading(
        title=title,
        kind=kind,
        banner="" if card.provenance == "real" else "Simulated patients: nothing here says anything about a biomarker.",
        facts={
            "Cohort": f"{card.title} ({card.provenance})",
            "Citation": card.citation,
            "Endpoint": f"{question.endpoint.name}, from day {question.landmark_day:g}",
            "Events": ", ".join(f"{name} {n}" for name, n in zip(question.outcomes.causes, events, strict=True)),
            "The clinic": "" if question.clinic is None else ", ".join(question.clinic.names),
            "Strata": question.centre or "",
            "Arms": "" if question.arms is None else f"{question.by}: {', '.join(question.arms.names)}",
        },
        tiles={
            "patients": f"{len(question.outcomes):,}",
            "markers": f"{len(screen.matrix.markers):,}",
            f"pass q ≤ {LEVEL:g} for {screen.causes[0].name}": f"{len(screen.causes[0].found):,}",
        },
    )


def screen_page(screen: Screen, pages: Mapping[str, str]) -> str:
    """The page as HTML.

    Args:
        screen: The screen.
        pages: Of the leading markers: name to address, relative to this page.
    """
    shown = Disclosure.of(screen.question.cohort)
    heading = heading_of(screen, f"Markers of {screen.causes[0].name.replace('_', ' ')}", "biomarkers")
    sections = [Section("found", "What was found", "".join(map(paragraph, findings(screen))))]
    sections += [Section("pages", "Leading markers", _links(screen, pages))] if pages else []
    sections += [_cause_section(screen, of, shown) for of in screen.causes]
    sections.append(_assumed(screen))
    return render(heading, sections)


def _links(screen: Screen, pages: Mapping[str, str]) -> str:
    words = (
        "Markers that pass the false discovery rate, the smallest p first."
        if len(screen.causes[0].found)
        else "No marker passes the false discovery rate; these have the smallest p all the same."
    )
    items = "".join(f'<li><a href="{escape(address)}">{escape(name)}</a></li>' for name, address in pages.items())
    return f"{paragraph(words)}<ul>{items}</ul>"


def _cause_section(screen: Screen, of: CauseScreen, shown: Disclosure) -> Section:
    key, name = f"cause{of.cause}", of.name.replace("_", " ")
    line = (
        f"Ringed: a false discovery rate of at most {LEVEL:g}."
        if (of.cause_specific.q <= LEVEL).any()
        else f"No marker passes a false discovery rate of {LEVEL:g}."
    )
    caption = f"Each point is a marker; cause-specific hazards. {line}"
    body = figures([(volcano(screen, of), caption, f"Hazard ratios and p-values of all markers for {name}")], key)
    first = of.order[:MOST_ROWS]
    title = f"The first {len(first)} of {len(of.tested):,} markers by p; hazard ratios of one SD more, or 1 against 0"
    body += html_table(title, TESTED, tested_rows(screen, of, first, shown))
    columns = further_columns(screen)
    if len(columns) > 1:
        body += html_table("The same markers", columns, further_rows(screen, of, first))
    largest = np.nanmin(of.cause_specific.permuted.p_of_largest, initial=1.0)
    body += paragraph(
        f"Permuted p: {screen.n_permutations:,} permutations of the outcomes within strata; the least p of the largest "
        f"statistic of all markers is {largest:.3g}. Stable: share of half samples in which the marker is among the "
        f"{of.stability.n_chosen} best. All markers are in biomarkers.csv."
    )
    return Section(key, name.capitalize(), body)


def _assumed(screen: Screen) -> Section:
    body = "".join(map(paragraph, assumptions(screen)))
    if screen.question.cohort.card.provenance == "real":
        body += paragraph(
            f"The patients are real; counts from 1 to {SMALLEST - 1}, and what they follow from, are not shown."
        )
    return Section("assumed", "What this assumes", body)
