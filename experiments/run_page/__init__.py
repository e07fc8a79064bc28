"""The page of a run for people who would rather look than read, and its model card as JSON, Markdown and HTML.

write_run_page(analysis, path)   one HTML file that needs no other file, no network and no script
write_card(analysis, folder)     model_card.json, .md, .html

record, stored   what a run left behind, read again
analysis         every number, from over_time, subgroups, selection and who
facts, said_of_selection, said_of_alerts   what is said of a run in more than one place
card, card_of, card_of_selection, checklist, document   the model card: what it holds, how it is filled and rendered
sections_patients, sections_scores, sections_selection, sections_counts, sections_people   the page, section by section
figures, figures_selection   its pictures
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from experiments.page.added import added_section
from experiments.page.privacy import SMALLEST
from experiments.page.shell import Heading, Section, code_block, folded, paragraph, render, write_page
from experiments.run_page import facts
from experiments.run_page.analysis import RELATIVE_RISK_REDUCTION, Analysis, analyse
from experiments.run_page.card_of import card_of
from experiments.run_page.document import Part, document, to_markdown, to_sections
from experiments.run_page.facts import estimate
from experiments.run_page.record import RunFacts, RunRecord, read_record
from experiments.run_page.sections_counts import expected_section
from experiments.run_page.sections_patients import events_section, flow_section, incidence_section, table_one_section
from experiments.run_page.sections_people import failures_section, fairness_section, importance_section
from experiments.run_page.sections_scores import (
    accuracy_section,
    calibration_section,
    counts_section,
    decision_section,
    discrimination_section,
    scores_section,
)
from experiments.run_page.sections_selection import selection_section

MAKERS: tuple[Callable[[Analysis], Section | None], ...] = (
    flow_section,
    table_one_section,
    events_section,
    scores_section,
    incidence_section,
    calibration_section,
    discrimination_section,
    accuracy_section,
    decision_section,
    selection_section,
    fairness_section,
    importance_section,
    counts_section,
    expected_section,
    failures_section,
)


def write_run_page(
    a: Analysis, path: Path, progress: Callable[[int, int], None] | None = None, added: Sequence[Path] = ()
) -> None:
    """Write the page of a run, whole or not at all.

    Args:
        a: What there is to say.
        path: The HTML file.
        progress: Called with the sections done and the sections in all.
        added: Pages of other commands, each of which becomes a section.

    Raises:
        SequelaError: The file cannot be written, or one to be added is none of our pages.
    """
    card = a.record.rows.cohort.card
    cohort = f"{card.title} ({card.provenance})"
    parts = [added_section(one, number, path.parent, cohort) for number, one in enumerate(added, start=1)]
    told = progress or (lambda done, of: None)
    sections = []
    for done, make in enumerate(MAKERS):
        told(done, len(MAKERS))
        section = make(a)
        sections += [section] if section is not None else []
    sections += parts
    by_key = {part.key: part for part in document(card_of(a))}
    sections += to_sections([by_key["use"]])
    sections += [_folded(section) for section in to_sections([by_key["tripod"], by_key["chai"]])]
    sections += [_reproduce_section(a, by_key["reproduce"]), _privacy_section(a)]
    write_page(path, render(_heading(a), sections))
    told(len(MAKERS), len(MAKERS))


def write_card(a: Analysis, folder: Path) -> None:
    """Write model_card.json, model_card.md and model_card.html into a folder that exists.

    Raises:
        SequelaError: A file cannot be written.
    """
    card = card_of(a)
    write_page(folder / "model_card.json", card.model_dump_json(indent=1) + "\n")
    write_page(folder / "model_card.md", to_markdown(card))
    write_page(folder / "model_card.html", render(_heading(a, "Model card"), to_sections(document(card))))


def _folded(section: Section) -> Section:
    """Long lists, unfolded on demand and in print; their first sentence stands open."""
    opening, separator, rest = section.body.partition("</p>")
    return Section(section.key, section.title, opening + separator + folded("All of it", rest))


def _heading(a: Analysis, kind: str = "Report of a run") -> Heading:
    endpoint, rows = a.record.rows.endpoint, a.record.rows
    tiles = {
        f"patients scored, from day {endpoint.landmark_days[0]:g}": f"{len(a.landmarks[0].at.outcomes):,}",
        f"of them with {a.cause}": facts.outcome_counts(a, a.landmarks[0].at)[a.cause],
    }
    for metric, digits, percent in (("ibs", 4, False), ("ipa", 3, True), ("c", 3, False)):
        point, _, interval = estimate(a.overall(metric), digits, percent=percent).partition(" (")
        label = facts.METRICS[metric]
        tiles[f"{label}, {interval.rstrip(')')}" if interval else label] = point
    said = {
        "Question": facts.question(a),
        "Model": facts.model(a),
        "Cohort": f"{rows.cohort.card.title}; {rows.cohort.card.citation}",
        "Run": f"{a.record.facts.run_id}, {facts.date(a)}",
        "Code": f"commit {facts.commit(a)}",
    }
    return Heading(f"{a.record.config.name}: {endpoint.name}", kind, facts.warning(a), said, tiles)


def _reproduce_section(a: Analysis, part: Part) -> Section:
    """What the run was made with, and its configuration without the paths of this machine."""
    (section,) = to_sections([part])
    content = a.record.config.model_dump(mode="json", exclude_defaults=True)
    content |= {key: Path(content[key]).name for key in ("cohort", "endpoint")}
    if "also" in content:
        content["also"] = [Path(one).name for one in content["also"]]
    reference = content.get("features", {}).get("processing", {})
    if "reference" in reference:
        reference["reference"] = Path(reference["reference"]).name
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    body = section.body + folded("The configuration, paths shortened", code_block(text))
    return Section(section.key, section.title, body)


def _privacy_section(a: Analysis) -> Section:
    guarded = (
        f"Counts of 1 to {SMALLEST - 1} patients are shown as <{SMALLEST}, and where one would follow from others of "
        "its table, one more is withheld. Levels of fewer patients are put together, curves and groups of fewer "
        "events are not drawn."
        if a.shown.guarded
        else "The patients are simulated, and small counts are shown as they are."
    )
    text = f"The page names no patient and shows no patient's course or value. {guarded}"
    return Section("privacy", "What is shown of whom", paragraph(text))


__all__ = ["RELATIVE_RISK_REDUCTION", "RunFacts", "RunRecord", "analyse", "read_record", "write_card", "write_run_page"]
