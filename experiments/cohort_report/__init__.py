"""Pictures and a quality report of a cohort, as one HTML page that needs no other file, no network and no script.

write_cohort_report(cohort, patients, endpoints, path, progress)

sections_clinic, sections_cells   what the page says, part by part
follow_up, missingness, trajectories, cell_sample, embedding_map   the numbers behind it
figures_clinic, figures_cells   the pictures
tables   the tables; `experiments.page` has the page around it all
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.cohort_report.sections_cells import (
    composition_section,
    map_and_batch_sections,
    quality_section,
    samples_section,
    view_cells,
)
from experiments.cohort_report.sections_clinic import (
    baseline_section,
    findings_section,
    follow_up_section,
    incidence_section,
    missingness_section,
    trajectories_section,
)
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Heading, Section, absent, paragraph, render, write_page
from features.check import examine
from features.cohort import Cohort
from features.errors import Finding
from features.patients import Patients
from features.schema import Endpoint

SEED = 20
"""Of everything drawn by chance: resampled patients, lines, cells, the map. The same cohort gives the same page."""
_STEPS = 10
_CELL_STEPS = 10
"""Of the progress bar: one a section, and these for the reading of cells."""


def write_cohort_report(
    cohort: Cohort,
    patients: Patients,
    endpoints: Sequence[Endpoint],
    path: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    findings: Sequence[Finding] | None = None,
    individual_lines: bool | None = None,
) -> None:
    """Write the report of a cohort, whole or not at all.

    Args:
        cohort: The cohort.
        patients: The same patients, from `features.cohort.to_patients`, with their samples where there are any.
        endpoints: Whose incidence is drawn; none: each event against death.
        path: The HTML file.
        progress: Called with the steps done and the steps in all.
        findings: What the check found; None: the folder is checked again.
        individual_lines: Draw courses of single patients; None: only of simulated ones.

    Raises:
        SequelaError: The file cannot be written, or the cells cannot be read.
    """
    report = progress or (lambda done, of: None)
    total = _STEPS + _CELL_STEPS
    shown = Disclosure.of(cohort, individual_lines=individual_lines)
    rng = np.random.default_rng(SEED)
    report(0, total)
    if findings is None:
        findings = examine(cohort.folder).findings
    cells = view_cells(cohort, patients, shown, rng, lambda done, of: report(_CELL_STEPS * done // of, total))
    makers: list[Callable[[], list[Section]]] = [
        lambda: [findings_section(findings)],
        lambda: [follow_up_section(cohort, shown, rng)],
        lambda: [incidence_section(cohort, endpoints, shown, rng)],
        lambda: [baseline_section(cohort, shown)],
        lambda: [missingness_section(cohort, patients, endpoints, shown)],
        lambda: [trajectories_section(cohort, shown, rng)],
        lambda: [samples_section(patients, cells, shown), quality_section(cells, rng)],
        lambda: [composition_section(cells)],
        lambda: map_and_batch_sections(cells, SEED, rng),
    ]
    sections: list[Section] = []
    for done, make in enumerate(makers, start=1):
        sections += make()
        report(_CELL_STEPS + done, total)
    write_page(path, render(_heading(cohort, patients, shown), [*sections, _privacy_section(cohort, shown)]))
    report(total, total)


def _heading(cohort: Cohort, patients: Patients, shown: Disclosure) -> Heading:
    card = cohort.card
    simulated = card.provenance == "simulated"
    samples = patients.samples
    tiles = {
        "patients": f"{len(cohort.patients):,}",
        "events": shown.count(len(cohort.events)),
        "measurements": f"{len(cohort.measurements):,}",
        "samples": f"{len(cohort.samples):,}",
        "cells": f"{int(samples.summary.n_cells.sum()) if samples is not None else 0:,}",
        "clones": f"{len(cohort.clones):,}",
    }
    facts = {
        "Provenance": "Simulated: no person, no finding" if simulated else "Real patients",
        "Citation": card.citation,
        "Licence": card.licence,
        "Notes": shown.text(card.notes, cohort),
        "Fingerprint": cohort.fingerprint,
    }
    banner = "Simulated patients. Nothing on this page is about anyone, or shows anything about CAR-T cells."
    return Heading(card.title, "Quality report of a cohort", banner if simulated else "", facts, tiles)


def _privacy_section(cohort: Cohort, shown: Disclosure) -> Section:
    """What the page shows of single patients, and what not."""
    always = "The page names no patient and no sample. Samples are unnamed bars and dots, and cells unnamed dots. "
    guarded = (
        f"Counts of 1 to {SMALLEST - 1} patients are shown as <{SMALLEST}, one more count is withheld where they "
        f"would follow from it, curves of fewer than {SMALLEST} events are not drawn, and shares in pictures of "
        f"missing values are moved to {SMALLEST} patients. Samples of materials from fewer patients are not drawn. "
        if shown.guarded
        else "The patients are simulated, and small counts are shown as they are. "
    )
    lines = (
        "Thin lines among the trajectories are courses of single patients: treat the page as data of single patients. "
        if shown.individual_lines and shown.guarded
        else ""
    )
    rest = "Curves have a step at the day of each event, as published ones do." if shown.guarded else ""
    body = paragraph(always + guarded + lines + rest)
    return Section("privacy", "What is shown of whom", body if len(cohort.patients) else absent("There is nobody."))


__all__ = ["write_cohort_report"]
