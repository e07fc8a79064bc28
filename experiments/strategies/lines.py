"""Every number of a comparison of strategies, one line each: what tables show and other programs read."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import asdict
from typing import Any

import numpy as np

from experiments.effects.analysis import Contrasts
from experiments.estimate_lines import DIFFERENCE, RATIO, Line, flat_line
from experiments.interval_text import interval_text
from experiments.strategies.analysis import Strategies
from experiments.strategies.benefit_risk import Weighed
from experiments.strategies.protocol import protocol
from experiments.strategies.sentences import assumptions, findings
from training.effects.risks import Table

WEIGHTED = "weighted clones"
AS_SEEN = "as seen"
QUANTILES = (0.5, 0.95, 0.99)
"""Of the weights."""


def lines_of(found: Strategies) -> list[Line]:
    """Risks, times lost, and their contrasts; the natural course after the strategies."""
    lines: list[Line] = []
    for quantity, contrasts, natural in (
        ("risk", found.risk, found.natural_risk),
        ("time lost", found.time_lost, found.natural_time_lost),
    ):
        lines += _contrast_lines(found, quantity, contrasts)
        lines += _table_lines(found, quantity, AS_SEEN, found.question.natural, None, natural)
    return lines


def _contrast_lines(found: Strategies, quantity: str, contrasts: Contrasts) -> Iterator[Line]:
    names = found.question.names
    for tables, arms, reference, suffix in (
        (contrasts.tables, names, None, ""),
        (contrasts.differences, names[1:], names[0], DIFFERENCE),
        (contrasts.ratios, names[1:], names[0], RATIO),
    ):
        for arm, table in zip(arms, tables, strict=True):
            yield from _table_lines(found, quantity + suffix, WEIGHTED, arm, reference, table)


def _table_lines(
    found: Strategies, quantity: str, method: str, arm: str, reference: str | None, table: Table
) -> Iterator[Line]:
    question = found.question
    for cause, row in zip(question.outcomes.causes, table, strict=True):
        for day, estimate in zip(question.horizons_days, row, strict=True):
            yield Line(quantity, method, cause, float(day), arm, reference, estimate)


def plane_columns(found: Strategies) -> tuple[str, ...]:
    """Of `plane_rows`."""
    event, *ends = found.question.outcomes.causes
    benefit = f"days before {' or '.join(ends)}" if ends else "days"
    return ("strategy", benefit, f"{event}, per cent", "weighted days", "equal at a worth of")


def plane_rows(found: Strategies, left_out: Set[str] = frozenset()) -> list[tuple[str, ...]]:
    """Rows of a table by the last horizon: strategies, and each less the reference, but those left out."""
    own, names = found.benefit_risk, found.question.names
    rows: list[tuple[str, ...]] = [
        (name, *_weighed(one), "") for name, one in zip(names, own.of, strict=True) if name not in left_out
    ]
    for name, one, equal in zip(names[1:], own.less, own.equal_at, strict=True):
        if left_out.isdisjoint((name, names[0])):
            rows.append((f"{name} less {names[0]}", *_weighed(one), f"{equal:.2f}" if np.isfinite(equal) else "none"))
    return rows


def _weighed(one: Weighed) -> tuple[str, str, str]:
    benefit, weighted = (interval_text(of.point, of.low, of.high, digits=1) for of in (one.benefit, one.weighted))
    return benefit, interval_text(one.harm.point, one.harm.low, one.harm.high, percent=True), weighted


def seen_lines(found: Strategies) -> list[Line]:
    """Ratios of hazards with treatment to those without, by cause."""
    seen = found.seen
    methods = [("unadjusted", seen.hazard_ratios)]
    if seen.adjusted is not None:
        methods.append((f"given {', '.join(found.question.asked.adjust)}", seen.adjusted))
    return [
        Line("cause-specific hazard ratio", method, cause, None, "with", "without", estimate)
        for method, ratios in methods
        for cause, estimate in zip(found.question.outcomes.causes, ratios, strict=True)
    ]


def weight_rows(found: Strategies) -> list[tuple[str, tuple[float, ...], float, float]]:
    """By strategy: quantiles of its weights on all days, the largest before truncation, and where that begins."""
    rows = []
    for name, one in zip(found.question.names, found.emulated.weights[:-1], strict=True):
        values = np.quantile(one.values[one.values > 0], QUANTILES)
        rows.append((name, tuple(map(float, values)), one.largest, one.limit))
    return rows


def plain(found: Strategies) -> dict[str, Any]:
    """Everything as other programs read it; what is not known is NaN or None."""
    question = found.question
    asked, seen = question.asked, found.seen
    causes = question.outcomes.causes
    return {
        "cohort": question.cohort.card.title,
        "provenance": question.cohort.card.provenance,
        "endpoint": question.endpoint.name,
        "landmark_day": question.landmark_day,
        "treatment": asked.treatment,
        "grace_days": asked.grace_days,
        "reference": question.names[0],
        "adjusted_for": list(asked.adjust),
        "adjusted_over_time": list(question.changing.names),
        "patients": len(question.rows),
        "treated_before": question.n_treated_before,
        "resamples": found.n_resamples,
        "truncated_at_percentile": asked.percentile,
        "protocol": [asdict(one) for one in protocol(question, found.n_resamples)],
        "strategies": [
            {
                "strategy": name,
                "followed": list(one.n_followed),
                "effective": list(one.effective),
                "deviated": one.n_deviated,
                "ended": one.n_ended,
                "left": one.n_left,
                "events": dict(zip(causes, map(int, one.events), strict=True)),
                "weights": dict(zip(map(str, QUANTILES), quantiles, strict=True)),
                "largest_weight": largest,
                "truncated_at": limit if np.isfinite(limit) else None,
            }
            for (name, quantiles, largest, limit), one in zip(weight_rows(found), found.clones, strict=True)
        ],
        "estimates": [flat_line(line) for line in lines_of(found)],
        "benefit_risk": {
            "horizon_days": float(question.horizons_days[-1]),
            "worth": dict(zip(question.states, question.worth.tolist(), strict=True)),
            "strategies": [
                {"strategy": name} | asdict(one)
                for name, one in zip(question.names, found.benefit_risk.of, strict=True)
            ],
            "less_reference": [
                {"strategy": name, "equal_at": equal if np.isfinite(equal) else None} | asdict(one)
                for name, equal, one in zip(
                    question.names[1:], found.benefit_risk.equal_at, found.benefit_risk.less, strict=True
                )
            ],
        },
        "positivity": [asdict(one) for one in found.positivity],
        "seen": {
            "starts": seen.n_starts,
            "without": _state(found, 0),
            "with": _state(found, 1),
            "hazard_ratios": [flat_line(line) for line in seen_lines(found)],
            "states": [
                {"state": state, "horizon_days": float(day)} | asdict(estimate)
                for day, row in zip(question.horizons_days, seen.occupied, strict=True)
                for state, estimate in zip(seen.states.states, row, strict=True)
            ],
        },
        "found": list(findings(found)),
        "assumptions": list(assumptions(found)),
    }


def _state(found: Strategies, k: int) -> dict[str, Any]:
    seen = found.seen
    events = dict(zip(found.question.outcomes.causes, map(int, seen.events[k]), strict=True))
    return {"patient_days": float(seen.patient_days[k]), "events": events}
