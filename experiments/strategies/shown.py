"""A comparison of strategies in the terminal."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from experiments.cli.output import stdout, table_of
from experiments.estimate_lines import DIFFERENCE, RATIO, interval, table_by_horizon
from experiments.page.tables import number, p_value
from experiments.strategies.analysis import Strategies
from experiments.strategies.lines import QUANTILES, lines_of, plane_columns, plane_rows, seen_lines, weight_rows
from experiments.strategies.protocol import protocol
from experiments.strategies.sentences import assumptions, findings, seen_sentences

SHOWN = ("risk", "risk" + DIFFERENCE, "risk" + RATIO, "time lost" + DIFFERENCE)
"""By horizon; the page and the JSON have the rest."""


def print_strategies(found: Strategies) -> None:
    """Protocol, clones, weights, contrasts, starts, what was seen, and all of it in words."""
    question = found.question
    card = question.cohort.card
    _say(
        f"{question.endpoint.name} under strategies of {question.asked.treatment}, from day {question.landmark_day:g} "
        f"({len(question.rows):,} {card.provenance} patients: {card.title})"
    )
    stdout.print(_protocol(found))
    stdout.print(_clones(found))
    stdout.print(_weights(found))
    lines = lines_of(found)
    for quantity in SHOWN:
        stdout.print(table_by_horizon(quantity, lines, "strategy"))
    columns = plane_columns(found)
    stdout.print(
        table_of(f"Benefit and risk by day {question.horizons_days[-1]:g}", columns[:1], columns[1:], plane_rows(found))
    )
    stdout.print(_positivity(found))
    stdout.print(_seen(found))
    for sentence in (*findings(found), *assumptions(found), *seen_sentences(found)):
        _say(sentence)


def _say(sentence: str) -> None:
    stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _protocol(found: Strategies) -> Table:
    table = table_of("The target trial and its emulation", ["", "target trial", "emulation"], [])
    for one in protocol(found.question, found.n_resamples):
        table.add_row(one.name, one.trial, one.emulation)
    return table


def _clones(found: Strategies) -> Table:
    question = found.question
    days = [f"day {day:g} (worth)" for day in question.horizons_days]
    columns = ["clones", "deviated", "ended", *question.outcomes.causes, *days]
    table = table_of("Clones of each strategy, by the last horizon", ["strategy"], columns)
    for name, one in zip(question.names, found.clones, strict=True):
        left = (f"{n:,} ({number(worth)})" for n, worth in zip(one.n_followed, one.effective, strict=True))
        counts = (len(question.rows), one.n_deviated, one.n_ended, *one.events)
        table.add_row(name, *(f"{int(n):,}" for n in counts), *left)
    return table


def _weights(found: Strategies) -> Table:
    columns = [*(f"{100 * q:g} %" for q in QUANTILES), "largest", "lowered to"]
    table = table_of("Weights on all days: quantiles, the largest, and what that was lowered to", ["strategy"], columns)
    for name, quantiles, largest, limit in weight_rows(found):
        table.add_row(name, *map(number, quantiles), number(largest), number(limit))
    return table


def _positivity(found: Strategies) -> Table:
    columns = ["patients", "patient-days", "starts", "expected"]
    table = table_of("Starts on days on which one was about equally likely", ["days", "third"], columns)
    for one in found.positivity:
        cells = (f"{one.n_patients:,}", f"{one.n_patient_days:,}", f"{one.n_starts:,}", f"{one.expected:.1f}")
        table.add_row(f"{one.first_day} to {one.last_day}", f"{one.likely} likely", *cells)
    return table


def _seen(found: Strategies) -> Table:
    seen, question = found.seen, found.question
    title = f"As it was seen: events without {question.asked.treatment} and after its start, over all follow-up"
    columns = ["without", "per 1,000 days", "after", "per 1,000 days", "hazard ratio [95 % interval]", "p"]
    table = table_of(title, ["cause", "method"], columns)
    for line in seen_lines(found):
        k = question.outcomes.causes.index(line.cause)
        cells = []
        for events, days in zip(seen.events[:, k], seen.patient_days, strict=True):
            cells += [f"{events:,}", number(1000 * events / days if days else np.nan)]
        table.add_row(line.cause, line.method, *cells, interval(line), p_value(line.estimate.p))
    return table
