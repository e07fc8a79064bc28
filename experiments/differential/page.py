"""The page of a comparison: what was found, cell types, a volcano for each of them, pathways."""

from __future__ import annotations

import pandas as pd

from experiments.differential.analysis import LEVEL, Differential
from experiments.differential.figures import volcano
from experiments.differential.lines import (
    PATHWAY_COLUMNS,
    WITHIN,
    abundance_columns,
    abundance_rows,
    expression_columns,
    expression_rows,
    pathway_rows,
    sizes_text,
)
from experiments.differential.sentences import assumptions, findings
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Heading, Section, absent, figures, paragraph, render
from experiments.page.tables import html_table

MOST_ROWS = 50
"""Of each table on the page; the csv files have all."""


def differential_page(found: Differential) -> str:
    """The page as HTML."""
    shown = Disclosure.of(found.question.cohort)
    sections = [
        Section("found", "What was found", "".join(map(paragraph, findings(found)))),
        _abundance(found, shown),
        _expression(found, shown),
        *([] if found.sets is None else [_pathways(found, shown)]),
        _assumed(found, shown),
    ]
    return render(_heading(found, shown), sections)


def _heading(found: Differential, shown: Disclosure) -> Heading:
    question = found.question
    card = question.cohort.card
    simulated = "Simulated patients: nothing here says anything about cells of people."
    groups = zip(question.names, sizes_text(found, shown), strict=True)
    return Heading(
        title=f"Cells by {question.by.replace('_', ' ')}",
        kind="differential",
        banner="" if card.provenance == "real" else simulated,
        facts={
            "Cohort": f"{card.title} ({card.provenance})",
            "Citation": card.citation,
            "Groups": " against ".join(f"{name} ({n})" for name, n in groups),
            "Samples": f"the latest of each material by day {question.landmark_day:g}",
            "Adjusted for": "" if question.covariates is None else ", ".join(question.covariates.names),
        },
        tiles={
            "patients": f"{len(question.rows):,}",
            f"cell types with q ≤ {LEVEL:g}": _n_passing(found.abundance),
            f"genes by cell type with q ≤ {LEVEL:g}": _n_passing(found.expression),
        },
    )


def _n_passing(table: pd.DataFrame) -> str:
    return "–" if table.empty else f"{int((table['q'] <= LEVEL).sum()):,}"


def _abundance(found: Differential, shown: Disclosure) -> Section:
    body = absent("There are not two cell types of a material to compare shares of.")
    if not found.abundance.empty:
        rows = abundance_rows(found, found.abundance, shown)
        body = html_table("Shares of cell types; medians", abundance_columns(found), rows, numeric_from=2)
    return Section("types", "Cell types", body)


def _expression(found: Differential, shown: Disclosure) -> Section:
    if found.expression.empty:
        return Section("genes", "Genes", absent("No cell type has cells enough in enough patients of both groups."))
    parts = []
    for (material, cell_type), own in found.expression.groupby(["material", "cell_type"], sort=True):
        n = int((own["q"] <= LEVEL).sum())
        title = f"{material}: {cell_type}"
        caption = f"{n:,} of {len(own):,} pass q ≤ {LEVEL:g}, ringed." if n else f"None of {len(own):,} passes."
        parts.append((volcano(own, found.effect, title), caption, f"Differences and p-values of all genes in {title}"))
    first = found.expression.head(MOST_ROWS)
    title = f"The first {len(first)} of {len(found.expression):,} by q; all are in expression.csv"
    rows = expression_rows(found, first, shown)
    body = html_table(title, expression_columns(found), rows, numeric_from=1 + len(WITHIN))
    return Section("genes", "Genes by cell type", figures(parts, "volcano") + body)


def _pathways(found: Differential, shown: Disclosure) -> Section:
    if found.pathways.empty:
        return Section("pathways", "Pathways", absent("Of no set enough genes are measured."))
    first = found.pathways.head(MOST_ROWS)
    title = f"The first {len(first)} of {len(found.pathways):,} by q; all are in pathways.csv"
    rows = pathway_rows(found, first, shown)
    return Section("pathways", "Pathways", html_table(title, PATHWAY_COLUMNS, rows, numeric_from=1 + len(WITHIN)))


def _assumed(found: Differential, shown: Disclosure) -> Section:
    body = "".join(map(paragraph, assumptions(found, shown)))
    if shown.guarded:
        body += paragraph(f"The patients are real; counts from 1 to {SMALLEST - 1} are not shown.")
    return Section("assumed", "What this assumes", body)
