"""Benefit against risk in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from experiments.benefit_risk.analysis import BenefitRisk
from experiments.benefit_risk.lines import (
    TITLES,
    Line,
    by_state,
    contrast_lines,
    lines_of,
    patient_lines,
    plane_columns,
    plane_rows,
    threshold_rows,
)
from experiments.benefit_risk.patient import PatientStates
from experiments.benefit_risk.question import Question
from experiments.benefit_risk.sentences import assumptions, findings, patient_findings
from experiments.cli.output import stdout, table_of


def print_benefit_risk(found: BenefitRisk, patient: PatientStates | None = None) -> None:
    """Moves, states by time, days, the plane, thresholds, and what was found in words."""
    question = found.question
    card = question.cohort.card
    by = "" if question.by is None else f" by {question.by}"
    title = (
        f"{question.endpoint.name}{by}: benefit against risk over {question.horizon_days:g} days from day "
        f"{question.landmark_day:g} ({len(question.histories):,} {card.provenance} patients: {card.title})"
    )
    _say(title)
    stdout.print(_moves(found))
    lines = [line for line in lines_of(found) if line.group in {group.name for group in found.shown}]
    _print_states(lines, question)
    stdout.print(_plane([line for line in lines if line.reference is None] + contrast_lines(found), question))
    if found.contrasts:
        stdout.print(_thresholds(found))
    sentences = [*findings(found), *assumptions(found, patient)]
    if patient is not None:
        own = patient_lines(patient, question)
        _print_states(own, question)
        stdout.print(_plane(own, question))
        sentences = [*patient_findings(patient, question), *sentences]
    for sentence in sentences:
        _say(sentence)


def _say(sentence: str) -> None:
    stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _moves(found: BenefitRisk) -> Table:
    names = [group.name for group in found.shown]
    table = table_of("Moves between states", ["from", "to"], names)
    moves = [group.histories.moves() for group in found.shown]
    for origin, target in np.argwhere(sum(moves) > 0).tolist():
        states = (found.question.states[origin], found.question.states[target])
        table.add_row(*states, *(f"{int(one[origin, target]):,}" for one in moves))
    return table


def _print_states(lines: Sequence[Line], question: Question) -> None:
    days = [f"day {day:g}" for day in question.times_days]
    for quantity, title in TITLES.items():
        stdout.print(table_of(title, ["group", "state"], days, by_state(lines, quantity)))


def _plane(lines: Sequence[Line], question: Question) -> Table:
    first, *columns = plane_columns(question)
    return table_of(f"Benefit against risk by day {question.horizon_days:g}", [first], columns, plane_rows(lines))


def _thresholds(found: BenefitRisk) -> Table:
    title = f"Weighted days against {found.groups[0].name}, by what a day in a state is worth"
    rows = threshold_rows(found.contrasts, found.question)
    return table_of(title, ["group", "state"], ["worth 0", "equal at", "worth 1"], rows)
