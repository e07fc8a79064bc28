"""Benefit against risk for people: one page, what was found first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.benefit_risk.analysis import Adjustment, BenefitRisk, Group
from experiments.benefit_risk.figures import plane_figure, states_figure, threshold_figure, weights_figure
from experiments.benefit_risk.lines import (
    TITLES,
    Line,
    by_state,
    contrast_lines,
    patient_lines,
    plane_columns,
    plane_rows,
    state_lines,
    summary_lines,
    threshold_rows,
)
from experiments.benefit_risk.patient import PatientStates
from experiments.benefit_risk.question import COMPLICATION, Question
from experiments.benefit_risk.sentences import assumptions, findings, patient_findings
from experiments.benefit_risk.withheld import withheld
from experiments.effects.adjustable import OUT_OF_BALANCE
from experiments.effects.figures import balance_figure
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Heading, Section, absent, figures, paragraph, render, words, write_page
from experiments.page.tables import html_table, number


def write_benefit_risk_page(path: Path, found: BenefitRisk, patient: PatientStates | None = None) -> None:
    """Write the page; groups with counts below `SMALLEST` of real patients are withheld on it.

    Raises:
        SequelaError: It cannot be written.
    """
    question = found.question
    card = question.cohort.card
    shown = Disclosure.of(question.cohort)
    real = card.provenance == "real"
    heading = Heading(
        title=f"Benefit against risk: {words(question.endpoint.name)}",
        kind="multi-state model",
        banner="" if real else "Simulated patients: nothing here says anything about a treatment.",
        facts={
            "Cohort": f"{card.title} ({card.provenance})",
            "Citation": card.citation,
            "States": " → ".join(question.states),
            "Counted": f"{question.horizon_days:g} days from day {question.landmark_day:g}",
            "Groups": ""
            if question.by is None
            else f"{question.by}: {', '.join(group.name for group in found.groups)}",
        },
        tiles={"patients": f"{len(question.histories):,}", "states": f"{len(question.states)}"},
    )
    hidden = withheld(found, shown)
    groups = [group for group in found.shown if group.name not in hidden]
    said = [*findings(found, shown), *([] if patient is None else patient_findings(patient, question))]
    sections = [Section("found", "What was found", "".join(map(paragraph, said))), _states(found, shown, hidden)]
    if patient is not None:
        sections.append(_patient(patient, question))
    sections.append(_plane(found, groups, patient, hidden))
    if groups:
        sections.append(_weights(found, groups, hidden))
    if found.adjustment is not None:
        sections.append(_adjustment(found, found.adjustment))
    sections.append(_assumed(found, patient, shown))
    write_page(path, render(heading, sections, one_patient=patient is not None))


def _states(found: BenefitRisk, shown: Disclosure, hidden: frozenset[str]) -> Section:
    question = found.question
    drawn = [group for group in (found.everyone, *found.groups) if group.name not in hidden]
    parts = [
        (
            states_figure(group.curve, question, group.name),
            f"Aalen–Johansen estimates, {len(group.histories):,} patients.",
            f"Share of {group.name} in each state over time",
        )
        for group in drawn
    ]
    body = figures(parts, "states") if parts else absent("Withheld: few patients met a state.")
    body += _moves(found, shown)
    lines = [line for group in drawn for line in state_lines(group, question)]
    body += _state_tables(lines, question) if lines else ""
    return Section("states", "States over time", body)


def _moves(found: BenefitRisk, shown: Disclosure) -> str:
    groups, states = found.shown, found.question.states
    moves = np.stack([group.histories.moves() for group in groups])
    pairs = np.argwhere(moves.sum(axis=0) > 0).tolist()
    counts = np.array([[moves[k, origin, target] for k in range(len(groups))] for origin, target in pairs])
    texts = shown.table(counts)
    rows = [
        (words(states[origin]), words(states[target]), *row) for (origin, target), row in zip(pairs, texts, strict=True)
    ]
    columns = ("from", "to", *(group.name for group in groups))
    return html_table("Moves between states", columns, rows, numeric_from=2)


def _state_tables(lines: Sequence[Line], question: Question) -> str:
    columns = ("group", "state", *(f"day {day:g}" for day in question.times_days))
    return "".join(
        html_table(
            title,
            columns,
            [(group, words(state), *cells) for group, state, *cells in by_state(lines, quantity)],
            numeric_from=2,
        )
        for quantity, title in TITLES.items()
    )


def _plane(
    found: BenefitRisk, groups: Sequence[Group], patient: PatientStates | None, hidden: frozenset[str]
) -> Section:
    question = found.question
    if not groups and patient is None:
        return Section("plane", "Benefit against risk", absent("Withheld: few patients met a state."))
    caption = (
        "Dots with 95 % intervals; ellipses hold benefit and harm at once with 95 %. Days with the complication are "
        "part of the benefit: the two are weighed against each other below."
    )
    figure = plane_figure(groups, question, patient)
    body = figures([(figure, caption, "Benefit against risk by group")], "plane", small=False)
    lines = [line for group in groups for line in summary_lines(group, question)]
    lines += [line for line in contrast_lines(found) if hidden.isdisjoint((line.group, line.reference))]
    lines += [] if patient is None else patient_lines(patient, question)
    title = f"By day {question.horizon_days:g} [95 % interval]"
    body += html_table(title, plane_columns(question), plane_rows(lines))
    return Section("plane", "Benefit against risk", body)


def _weights(found: BenefitRisk, groups: Sequence[Group], hidden: frozenset[str]) -> Section:
    question = found.question
    dashed = f"The other weights as they are; dashed: {question.worth[COMPLICATION]:g}."
    parts = [(weights_figure(groups, question), dashed, "Weighted time by the worth of a day with the complication")]
    contrasts = [one for one in found.contrasts if hidden.isdisjoint((one.name, found.groups[0].name))]
    by_name = {group.name: group for group in found.groups}
    for contrast in contrasts:
        for state, _ in contrast.thresholds:
            if state != COMPLICATION:
                figure = threshold_figure(found, by_name[contrast.name], state)
                caption = "Dark: the 95 % interval of the difference excludes 0. Dot: the weights as they are."
                parts.append((figure, caption, f"Which weights favour {contrast.name}"))
    body = paragraph(
        "Expected days, each weighed by what a day in its state is worth (Q-TWiST). Where the lines cross, the ranking "
        "changes."
    )
    body += figures(parts, "weights")
    rows = [
        (f"{group} / {found.groups[0].name}", words(state), *cells)
        for group, state, *cells in threshold_rows(contrasts, question)
    ]
    if rows:
        columns = ("groups", "worth of a day in", "difference if 0", "equal at", "difference if 1")
        body += html_table("Difference of weighted days by what a day is worth", columns, rows, numeric_from=2)
    return Section("weights", "What a day is worth", body)


def _adjustment(found: BenefitRisk, adjustment: Adjustment) -> Section:
    said = f"Largest difference of any group to {found.groups[0].name}; dashed: {OUT_OF_BALANCE:g}."
    drawn = [(balance_figure(adjustment.balance), said, "Balance of covariates before and after weighting")]
    worth = [(one.arm, f"{one.n_rows:,}", f"{one.effective:.0f}") for one in adjustment.overlap]
    body = figures(drawn, "adjust", small=False)
    body += html_table("Groups once weighted", ("group", "patients", "worth once weighted"), worth)
    differences = [(one.name, one.arm, number(one.before), number(one.after)) for one in adjustment.balance]
    columns = ("covariate", "group", "as they are", "weighted")
    body += html_table("Balance: standardised mean differences", columns, differences, numeric_from=2)
    return Section("adjustment", "Balance and overlap", body)


def _patient(patient: PatientStates, question: Question) -> Section:
    figure = states_figure(patient.curve, question, f"Patient {patient.patient_id}")
    caption = "Predicted by a Cox model of each transition."
    body = figures([(figure, caption, "Probability of each state over time")], "patient", small=False)
    return Section("patient", "One patient", body + _state_tables(patient_lines(patient, question), question))


def _assumed(found: BenefitRisk, patient: PatientStates | None, shown: Disclosure) -> Section:
    body = "".join(map(paragraph, assumptions(found, patient, shown)))
    if found.question.cohort.card.provenance == "real":
        body += paragraph(
            f"The patients are real; counts from 1 to {SMALLEST - 1}, and what they follow from, are not shown."
        )
    return Section("assumed", "What this assumes", body)
