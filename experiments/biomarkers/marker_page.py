"""The page of one marker: what the tests say of it, the course of patients by its thirds, and the cells."""

from __future__ import annotations

import numpy as np

from experiments.biomarkers.analysis import Screen
from experiments.biomarkers.cells_map import CellsMap
from experiments.biomarkers.lines import TESTED, further_columns, further_rows, tested_rows
from experiments.biomarkers.page import heading_of
from experiments.biomarkers.tertiles import thirds
from experiments.page.arms import at_risk_table, incidence_figures, last_day
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Section, absent, figures, paragraph, render
from experiments.page.tables import html_table
from training.effects.arms import Arms, followed_to


def marker_page(screen: Screen, marker: int, cells: CellsMap | None) -> str:
    """The page as HTML.

    Args:
        screen: The screen.
        marker: Position of the marker in the matrix.
        cells: The cells of the patients, if there are any.
    """
    shown = Disclosure.of(screen.question.cohort)
    of = screen.matrix.markers[marker]
    arms = thirds(screen.matrix.raw[:, marker], screen.question.outcomes)
    sections = [_tests(screen, marker, shown), _course(screen, arms, shown)]
    if cells is not None:
        parts = [(cells.by_type(), f"{len(cells.xy):,} cells, drawn evenly over samples.", "Map of cells by cell type")]
        by_marker = cells.by_marker(of, screen.matrix, arms)
        if by_marker is not None:
            parts.append((by_marker[0], by_marker[1], f"Map of cells by {of.name}"))
        body = figures(parts, "cells") + paragraph(
            "Samples known by the landmark. Distances between islands mean little, and cells of one patient are not "
            "independent: the tests above are of patients."
        )
        sections.append(Section("cells", "Cells", body))
    return render(heading_of(screen, of.name, f"marker ({of.kind}), in units of {of.unit}"), sections)


def _tests(screen: Screen, marker: int, shown: Disclosure) -> Section:
    rows, further = [], []
    for of in screen.causes:
        places = np.flatnonzero(of.tested == marker)
        rows += [(of.name, *row[1:]) for row in tested_rows(screen, of, places, shown)]
        further += [(of.name, *row[1:]) for row in further_rows(screen, of, places)]
    body = html_table("Tests by cause; hazard ratios with 95 % intervals", ("cause", *TESTED[1:]), rows)
    columns = further_columns(screen)
    if len(columns) > 1:
        body += html_table("Beyond the clinic, and by arm", ("cause", *columns[1:]), further)
    return Section("tests", "Tests", body)


def _course(screen: Screen, arms: Arms | None, shown: Disclosure) -> Section:
    title = "Course by thirds of the marker"
    if arms is None:
        return Section("course", title, absent(f"No two groups of {SMALLEST} patients or more can be made."))
    last = _last(arms, screen.question.endpoint.horizons_days)
    drawn = incidence_figures(arms, last, shown)
    parts = [
        (figure, _caption(arms, k, shown), f"Incidence of {name} by the marker")
        for k, (figure, name) in enumerate(zip(drawn, arms.outcomes.causes, strict=True))
        if any(n >= SMALLEST for n in _events(arms, k))
    ]
    body = figures(parts, "aj") + at_risk_table(arms, last, shown, "marker")
    body += paragraph(
        "Curves of a marker that was picked for its p-value differ more than those of new patients will. Groups with 1 "
        f"to {SMALLEST - 1} events of a cause are left out of its figure where patients are real."
    )
    return Section("course", title, body)


def _last(arms: Arms, horizons_days: tuple[float, ...]) -> float:
    """Where curves end: at the last horizon that all groups are followed to, or at the end of their follow-up."""
    followed = min(followed_to(arms.of(k)) for k in range(len(arms.names)))
    within = [day for day in horizons_days if day <= followed]
    return last_day(arms, within[-1] if within else followed)


def _events(arms: Arms, cause: int) -> list[int]:
    """By group."""
    return [int((arms.of(k).cause == cause + 1).sum()) for k in range(len(arms.names))]


def _caption(arms: Arms, cause: int, shown: Disclosure) -> str:
    counts = zip(arms.names, shown.parts(_events(arms, cause)), np.bincount(arms.arm), strict=True)
    said = ", ".join(f"{name}: {events} of {n:,}" for name, events, n in counts)
    return f"Aalen–Johansen curves with pointwise 95 % intervals. Events {arms.outcomes.causes[cause]}: {said}."
