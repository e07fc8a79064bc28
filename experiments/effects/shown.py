"""A comparison of arms in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from experiments.cli.output import stdout, table_of
from experiments.effects.analysis import Effects, GroupEffects
from experiments.effects.individual import tables
from experiments.effects.lines import group_rows, lines_of, overlaps
from experiments.effects.sentences import assumptions, findings
from experiments.estimate_lines import DIFFERENCE, Line, arms_of, interval, table_by_horizon
from experiments.page.tables import p_value

SHOWN = ("risk", "risk" + DIFFERENCE, "time lost" + DIFFERENCE, "mean number", "mean number" + DIFFERENCE)
"""By horizon; the page and the JSON have the rest."""


def print_effects(effects: Effects) -> None:
    """Arms, tests, contrasts, balance, and what was found in words."""
    question = effects.question
    card = question.cohort.card
    title = (
        f"{question.endpoint.name} by {question.by}, from day {question.landmark_day:g} "
        f"({len(question.arms):,} {card.provenance} patients: {card.title})"
    )
    stdout.print(title, highlight=False, markup=False, soft_wrap=True)
    stdout.print(_arms(effects))
    stdout.print(_tests(effects))
    lines = lines_of(effects)
    stdout.print(_ratios([line for line in lines if line.horizon_days is None]))
    for quantity in SHOWN:
        if any(line.quantity == quantity for line in lines):
            stdout.print(table_by_horizon(quantity, lines, "arm"))
    if effects.adjustment is not None:
        stdout.print(_balance(effects))
        stdout.print(_overlap(effects))
        stdout.print(_e_values(effects))
    if effects.groups is not None:
        stdout.print(_groups(effects, effects.groups))
    for caption, columns, rows in tables(effects):
        stdout.print(table_of(caption, columns[:1], columns[1:], rows))
    for sentence in (*findings(effects), *assumptions(effects)):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _arms(effects: Effects) -> Table:
    question = effects.question
    left_out = f"; of {question.n_left_out:,} more at risk {question.by} is not known" if question.n_left_out else ""
    table = table_of(f"Patients and first events{left_out}", ["arm"], ["patients", *question.arms.outcomes.causes])
    for k, name in enumerate(question.arms.names):
        counts = list(question.arms.of(k).counts().values())
        table.add_row(name, f"{sum(counts):,}", *(f"{n:,}" for n in counts[1:]))
    return table


def _tests(effects: Effects) -> Table:
    table = table_of("Tests that all arms are alike", ["cause"], ["Gray", "df", "p", "log-rank", "df", "p"])
    for one in effects.causes:
        cells = []
        for test in (one.gray, one.log_rank):
            known = test is not None and np.isfinite(test.p)
            cells += [f"{test.statistic:.3f}", f"{test.degrees}", p_value(test.p)] if test and known else ["–"] * 3
        table.add_row(one.cause, *cells)
    return table


def _ratios(lines: Sequence[Line]) -> Table:
    table = table_of("Ratios of hazards and rates", ["cause", "ratio", "arm"], ["estimate [95 % interval]", "p"])
    for line in lines:
        name = line.quantity if line.method == "unadjusted" else f"{line.quantity}, {line.method}"
        table.add_row(line.cause, name, arms_of(line), interval(line), p_value(line.estimate.p))
    return table


def _balance(effects: Effects) -> Table:
    assert effects.adjustment is not None  # noqa: S101 - for the type checker
    table = table_of("Balance: standardised mean differences", ["covariate", "arm"], ["before", "weighted"])
    reference = effects.question.arms.names[0]
    for one in effects.adjustment.balance:
        table.add_row(one.name, f"{one.arm} / {reference}", f"{one.before:+.3f}", f"{one.after:+.3f}")
    return table


def _overlap(effects: Effects) -> Table:
    assert effects.adjustment is not None  # noqa: S101 - for the type checker
    columns = ["patients", "worth, weighted", "P(arm), lowest", "highest", "largest weight"]
    table = table_of("Overlap: probability of each arm given the covariates", ["arm", "model"], columns)
    for one, model in overlaps(effects.adjustment):
        cells = (f"{one.effective:.0f}", f"{one.lowest:.3f}", f"{one.highest:.3f}", f"{one.largest_weight:.1f}")
        table.add_row(one.arm, model, f"{one.n_rows:,}", *cells)
    return table


def _e_values(effects: Effects) -> Table:
    question = effects.question
    days = [f"by day {day:g}" for day in question.horizons_days]
    table = table_of(f"E-values of {effects.causes[0].cause}: of the estimate, of its interval", ["arm"], days)
    for arm, values in zip(question.arms.names[1:], effects.e_values, strict=True):
        table.add_row(f"{arm} / {question.arms.names[0]}", *(f"{one.point:.2f}, {one.limit:.2f}" for one in values))
    return table


def _groups(effects: Effects, of: GroupEffects) -> Table:
    days = [f"by day {day:g}" for day in effects.question.horizons_days]
    title = f"Difference of risks of {effects.causes[0].cause}, percentage points, in groups ({of.method})"
    rows = group_rows(effects, of, [f"{one.n_rows:,}" for one in of.groups])
    return table_of(title, ["group"], ["patients", "arm", *days], rows)
