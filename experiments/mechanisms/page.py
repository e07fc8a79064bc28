"""What the cells carry, for people: one page, on which no patient stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.mechanisms.analysis import Found
from experiments.mechanisms.figures import changes_figure, genes_by_state_figure, genes_figure, states_figure
from experiments.mechanisms.lines import CHANGES, GENES, STATES, change_rows, gene_rows, state_rows
from experiments.mechanisms.sentences import assumptions, findings
from experiments.page.shell import Heading, Section, figures, paragraph, render, write_page
from experiments.page.tables import html_table

MOST_GENES = 50
"""Of the table; ``--json`` has all."""


def write_mechanisms_page(path: Path, found: Found) -> None:
    """Write the page.

    Raises:
        SequelaError: It cannot be written.
    """
    sections = [
        Section("found", "What was found", "".join(map(paragraph, findings(found)))),
        _states(found),
        _genes(found),
        *([_changes(found)] if found.mechanisms.asked.changes else []),
        Section("assumed", "What this assumes", "".join(map(paragraph, assumptions(found)))),
    ]
    write_page(path, render(_heading(found), sections))


def _heading(found: Found) -> Heading:
    question, own = found.question, found.mechanisms
    card = question.rows.cohort.card
    return Heading(
        title=f"What in the cells carries {question.cause.replace('_', ' ')}",
        kind="mechanisms",
        banner="" if card.provenance == "real" else "Simulated patients: nothing here says anything about a mechanism.",
        facts={
            "Cohort": f"{card.title} ({card.provenance})",
            "Citation": card.citation,
            "Endpoint": question.rows.endpoint.name,
            "Risk": f"{question.cause} by {own.asked.horizon_days:g} days after the landmark",
            "Network": question.config.model.kind,
        },
        tiles={
            "patients": f"{len(np.unique(question.rows.patients.patient_id.astype(str))):,}",
            "folds": f"{found.n_folds}",
            "exchanges": f"{found.n_exchanges}",
        },
    )


def _states(found: Found) -> Section:
    caption = "How well what the cells of each state move the risk by agrees with what happened, beside exchanged cells"
    title = "Cells: moves by what they express, and the Brier score's gains, with 95 % intervals"
    body = figures([(states_figure(found), caption, caption)], "states")
    return Section("states", "Cell states", body + html_table(title, STATES, list(state_rows(found))))


def _genes(found: Found) -> Section:
    caption = "How well what the leading genes move the risk by agrees with what happened, beside exchanged cells"
    drawn = [(genes_figure(found), caption, caption)]
    by_state = genes_by_state_figure(found)
    if by_state is not None:
        where = "In which types the leading genes move the risk: standard deviation over patients, points"
        drawn.append((by_state, where, where))
    rows = list(gene_rows(found, MOST_GENES))
    title = f"The first {len(rows)} of {len(found.mechanisms.genes):,} genes"
    return Section("genes", "Genes", figures(drawn, "genes") + html_table(title, GENES, rows))


def _changes(found: Found) -> Section:
    caption = (
        "Mean change of the predicted risk with changed cells, 95 % intervals over patients; in grey as far as it goes "
        "with networks of exchanged cells"
    )
    body = figures([(changes_figure(found), caption, caption)], "changes")
    return Section("changes", "Changed cells", body + html_table("Changed cells", CHANGES, list(change_rows(found))))
