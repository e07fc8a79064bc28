"""The 27 main items of TRIPOD+AI, filled from a run where a machine can.

Collins et al., TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use regression or
machine learning methods, BMJ 2024;385:e078378. Items are numbered as there and named in our words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments.run_page import facts
from experiments.run_page.analysis import Analysis
from experiments.run_page.card import BY_A_PERSON, Item, Status

ITEMS: tuple[tuple[str, str], ...] = (
    ("title", "Title"),
    ("abstract", "Abstract"),
    ("introduction", "Background: setting, users, known inequalities"),
    ("introduction", "Objectives"),
    ("methods", "Data: sources and dates"),
    ("methods", "Participants: setting, eligibility, treatments"),
    ("methods", "Preparation of the data"),
    ("methods", "Outcome and horizons"),
    ("methods", "Predictors"),
    ("methods", "Sample size"),
    ("methods", "Missing data"),
    ("methods", "Analytical methods"),
    ("methods", "Class imbalance"),
    ("methods", "Fairness"),
    ("methods", "Output of the model"),
    ("methods", "Training against evaluation"),
    ("methods", "Ethical approval"),
    ("open science", "Funding, conflicts, protocol, registration, sharing of data and code"),
    ("patient and public involvement", "Patient and public involvement"),
    ("results", "Participants: flow and characteristics"),
    ("results", "Development: participants and events"),
    ("results", "Specification of the model"),
    ("results", "Performance, in subgroups and between clusters"),
    ("results", "Updating of the model"),
    ("discussion", "Interpretation"),
    ("discussion", "Limitations"),
    ("discussion", "Usability in current care"),
)
"""Section and name of items 1 to 27."""


def checklist(a: Analysis) -> tuple[Item, ...]:
    """All items: filled, filled in part, or left to a person."""
    known = _methods(a) | _results(a)
    found = []
    for number, (section, name) in enumerate(ITEMS, start=1):
        status, text = known[number](a) if number in known else ("person", "")
        text = text if status == "filled" else f"{text} {BY_A_PERSON if status == 'person' else _rest(number)}".strip()
        found.append(Item(number=number, section=section, name=name, status=status, text=text))
    return tuple(found)


_RESTS: Mapping[int, str] = {
    1: "the title of the paper or the document",
    4: "why, and for whom",
    5: "dates of enrolment and the end of follow-up",
    6: "setting, centres, eligibility and treatments",
    8: "who assessed the outcome, and what they knew",
    9: "who assessed the predictors, and why these were chosen",
    14: "which groups matter here, and why",
    18: "funding, conflicts of interest, protocol and registration",
    25: "what this means beside earlier studies",
    26: "how the cohort differs from those the model is meant for",
    27: "who enters the inputs, and what they do with the answer",
}
"""What is left to a person of items that are filled in part."""


def _rest(number: int) -> str:
    return f"To be filled by a person: {_RESTS[number]}."


Fill = Callable[[Analysis], tuple[Status, str]]


def _methods(a: Analysis) -> dict[int, Fill]:
    card, endpoint = a.record.rows.cohort.card, a.record.rows.endpoint
    return {
        1: lambda _: ("partly", f"{a.record.config.name}: {a.record.config.model.kind} model of {endpoint.name}."),
        4: lambda _: ("partly", f"To develop and internally validate a model of this: {facts.question(a)}"),
        5: lambda _: ("partly", f"{card.title}; {card.citation}. {card.provenance.capitalize()} patients."),
        6: lambda _: ("partly", facts.population(a)),
        7: lambda _: (
            "filled",
            "Values are checked against declared units and ranges, impossible ones count as missing; what was known by "
            "the landmark enters, nothing later. " + facts.validation(a),
        ),
        8: lambda _: ("partly", facts.question(a)),
        9: lambda _: ("partly", facts.inputs(a)),
        10: lambda _: ("filled", facts.sample_size(a)),
        11: lambda _: ("filled", facts.MISSING),
        12: lambda _: ("filled", f"{facts.model(a)} {facts.validation(a)}"),
        13: lambda _: ("filled", "Patients are neither reweighted nor resampled to balance events."),
        14: lambda _: ("partly", facts.fairness(a)),
        15: lambda _: (
            "filled",
            f"Cumulative incidence of {', '.join(endpoint.causes)} by each horizon, from 0 to 1. {facts.thresholds(a)}",
        ),
        16: lambda _: ("filled", "Evaluation is out of fold in the same cohort; nothing here is external."),
    }  # fmt: skip


def _results(a: Analysis) -> dict[int, Fill]:
    return {
        18: lambda _: (
            "partly",
            f"Code: commit {facts.commit(a)}. Data: licence {a.record.rows.cohort.card.licence}.",
        ),
        20: lambda _: ("filled", f"{facts.population(a)} {facts.follow_up(a)} See flow and Table 1 of the report."),
        21: lambda _: ("filled", facts.events(a)),
        22: lambda _: (
            "filled",
            f"The artifact of run {a.record.facts.run_id} holds every weight, and an example to check it against.",
        ),
        23: lambda _: (
            "filled",
            f"{facts.performance(a)} {facts.beats_null(a)} {facts.calibration(a)} {facts.fairness(a)}",
        ),
        24: lambda _: ("filled", "The model was not updated after it was fitted."),
        25: lambda _: ("partly", facts.beats_null(a)),
        26: lambda _: ("partly", f"{facts.warning(a)} {facts.sample_size(a)}"),
        27: lambda _: ("partly", f"Inputs: {facts.inputs(a)} Outside the range it was trained on, it says so."),
    }  # fmt: skip
