"""Every number of a benefit–risk analysis, one line each: what tables show and other programs read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from experiments.benefit_risk.analysis import BenefitRisk, Contrast, Group
from experiments.benefit_risk.patient import PatientStates
from experiments.benefit_risk.question import COMPLICATION, Question
from experiments.benefit_risk.sentences import assumptions, before, findings, patient_findings
from experiments.interval_text import interval_text
from training.effects.estimates import Estimate
from training.evaluation.intervals import Interval

PROBABILITY, EVER, DAYS = "probability", "ever", "days"
"""Of being in a state on a day, of having been in it by then, and expected days in it until then."""
HARM, BENEFIT, WEIGHTED = "harm", "benefit", "weighted days"
IN_PER_CENT = (PROBABILITY, EVER, HARM)
TITLES = {
    PROBABILITY: "Probability of being in a state, per cent [95 % interval]",
    EVER: "Probability of having been in it, per cent",
    DAYS: "Expected days in it",
}
"""What is shown by state and time."""


@dataclass(frozen=True, slots=True)
class Line:
    """One estimate, as it is of a group, or less that of the reference."""

    quantity: str
    group: str
    reference: str | None
    state: str | None
    """None of what belongs to several."""
    horizon_days: float
    estimate: Estimate | Interval

    @property
    def text(self) -> str:
        """The estimate and its interval: probabilities in per cent, times in days."""
        one = self.estimate
        per_cent = self.quantity in IN_PER_CENT
        return interval_text(one.point, one.low, one.high, percent=per_cent, digits=3 if per_cent else 1)


def lines_of(found: BenefitRisk) -> list[Line]:
    """Of everyone, of each group, and of each group less the reference."""
    lines: list[Line] = []
    for group in (found.everyone, *found.groups):
        lines += state_lines(group, found.question)
        lines += summary_lines(group, found.question)
    return lines + contrast_lines(found)


def state_lines(group: Group, question: Question) -> Iterator[Line]:
    """By time and state."""
    for day, by_state in zip(question.times_days, group.estimates(), strict=True):
        for state, triple in zip(question.states, by_state, strict=True):
            for quantity, one in zip((PROBABILITY, EVER, DAYS), triple, strict=True):
                if quantity != EVER or state != question.states[0]:
                    yield Line(quantity, group.name, None, state, float(day), one)


def summary_lines(group: Group, question: Question) -> Iterator[Line]:
    """Harm, benefit and weighted days, by the horizon."""
    horizon = question.horizon_days
    yield Line(HARM, group.name, None, question.states[COMPLICATION], horizon, group.harm)
    yield Line(BENEFIT, group.name, None, None, horizon, group.benefit)
    yield Line(WEIGHTED, group.name, None, None, horizon, group.days(question.worth))


def contrast_lines(found: BenefitRisk) -> list[Line]:
    """Each group less the reference."""
    question, lines = found.question, []
    for one in found.contrasts:
        reference = found.groups[0].name
        for quantity, estimate in ((HARM, one.harm), (BENEFIT, one.benefit), (WEIGHTED, one.weighted)):
            state = question.states[COMPLICATION] if quantity == HARM else None
            lines.append(Line(quantity, one.name, reference, state, question.horizon_days, estimate))
    return lines


def by_state(lines: Sequence[Line], quantity: str) -> list[tuple[str, ...]]:
    """Rows of a table: group, state, the estimate by each time."""
    rows: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if line.quantity == quantity and line.state is not None:
            rows.setdefault((line.group, line.state), []).append(line.text)
    return [(*names, *cells) for names, cells in rows.items()]


def plane_columns(question: Question) -> tuple[str, ...]:
    """Of `plane_rows`."""
    complication = question.states[COMPLICATION].replace("_", " ")
    return ("group", f"days {before(question)}", f"{complication}, per cent", "weighted days")


def plane_rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """Rows of a table: group, or a group less another; benefit, harm, weighted days."""
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        if line.quantity in (BENEFIT, HARM, WEIGHTED):
            name = line.group if line.reference is None else f"{line.group} less {line.reference}"
            rows.setdefault(name, {})[line.quantity] = line.text
    return [(name, row[BENEFIT], row[HARM], row[WEIGHTED]) for name, row in rows.items()]


def threshold_rows(contrasts: Sequence[Contrast], question: Question) -> list[tuple[str, ...]]:
    """Rows of a table: group, state, difference if a day in it is worth 0, equal at, difference if 1."""
    return [
        (
            contrast.name,
            question.states[state],
            interval_text(one.at_none.point, one.at_none.low, one.at_none.high, digits=1),
            f"{one.equal_at:.2f}" if np.isfinite(one.equal_at) else "–",
            interval_text(one.at_full.point, one.at_full.low, one.at_full.high, digits=1),
        )
        for contrast in contrasts
        for state, one in contrast.thresholds
    ]


def plain(found: BenefitRisk, patient: PatientStates | None = None) -> dict[str, Any]:
    """Everything as other programs read it; what is not known is NaN or None."""
    question = found.question
    return {
        "cohort": question.cohort.card.title,
        "provenance": question.cohort.card.provenance,
        "endpoint": question.endpoint.name,
        "landmark_day": question.landmark_day,
        "horizon_days": question.horizon_days,
        "by": question.by,
        "reference": found.groups[0].name if found.groups else None,
        "group_not_known": question.n_left_out,
        "adjusted_for": [] if question.adjusted is None else list(question.adjusted.covariates.names),
        "balance": [] if found.adjustment is None else [asdict(one) for one in found.adjustment.balance],
        "overlap": [] if found.adjustment is None else [asdict(one) for one in found.adjustment.overlap],
        "states": [
            {"state": name, "worth": float(worth), "followed_beyond": state not in question.last_states}
            for state, (name, worth) in enumerate(zip(question.states, question.worth, strict=True))
        ],
        "moves": list(_moves(found)),
        "estimates": [_flat(line) for line in lines_of(found)],
        "thresholds": list(_thresholds(found)),
        "best": [asdict(one) for one in found.best],
        "markov": [
            {"from": question.states[one.origin], "to": question.states[one.target], "moves": one.n_moves}
            | asdict(one.later_entry)
            for one in found.markov
        ],
        "patient": None if patient is None else _patient(patient, question),
        "found": [*findings(found), *([] if patient is None else patient_findings(patient, question))],
        "assumptions": list(assumptions(found, patient)),
    }


def _moves(found: BenefitRisk) -> Iterator[dict[str, Any]]:
    states = found.question.states
    for group in (found.everyone, *found.groups):
        moves = group.histories.moves()
        for origin, target in np.argwhere(moves > 0).tolist():
            names = {"from": states[origin], "to": states[target]}
            yield {"group": group.name, "patients": len(group.histories)} | names | {"n": int(moves[origin, target])}


def _thresholds(found: BenefitRisk) -> Iterator[dict[str, Any]]:
    for contrast in found.contrasts:
        for state, one in contrast.thresholds:
            names = {"group": contrast.name, "reference": found.groups[0].name, "state": found.question.states[state]}
            yield names | asdict(one)


def patient_lines(patient: PatientStates, question: Question) -> list[Line]:
    """Of one patient."""
    lines = []
    for day, by_state in zip(question.times_days, patient.estimates, strict=True):
        for state, triple in zip(question.states, by_state, strict=True):
            for quantity, one in zip((PROBABILITY, EVER, DAYS), triple, strict=True):
                if quantity != EVER or state != question.states[0]:
                    lines.append(Line(quantity, patient.patient_id, None, state, float(day), one))
    horizon = question.horizon_days
    lines.append(Line(HARM, patient.patient_id, None, question.states[COMPLICATION], horizon, patient.harm))
    lines.append(Line(BENEFIT, patient.patient_id, None, None, horizon, patient.benefit_days))
    lines.append(Line(WEIGHTED, patient.patient_id, None, None, horizon, patient.weighted_days))
    return lines


def _patient(patient: PatientStates, question: Question) -> dict[str, Any]:
    return {
        "patient_id": patient.patient_id,
        "not_given": list(patient.not_given),
        "resamples": patient.n_resamples,
        "estimates": [_flat(line) for line in patient_lines(patient, question)],
    }


def _flat(line: Line) -> dict[str, Any]:
    found = asdict(line)
    estimate: dict[str, Any] = found.pop("estimate")
    return found | estimate
