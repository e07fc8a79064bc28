"""Every number, one line each: for tables in the terminal and on the page, and for other programs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.interval_text import interval_text
from experiments.mechanisms.analysis import Found
from experiments.mechanisms.sentences import assumptions, findings
from experiments.page.tables import p_value
from training.evaluation.intervals import Interval

FIRST_ORDER = "first-order gain ×100"
STATES = (
    "state", "of its cells", "of attention", "moves risk by", FIRST_ORDER, "p", "p of largest", "Brier gain ×100",
    "gain p",
)  # fmt: skip
GENES = ("gene", "moves risk by", "more of it", FIRST_ORDER, "p", "p of largest")
CHANGES = ("change", "genes seen", "mean change of risk", "p", "strange cells before", "and after")
ALWAYS, MOSTLY = 0.9, 0.6
"""Shares of the patients with cells, for whom more of a gene is said to raise, or to lower, the risk."""
Row = tuple[str, ...]


def state_rows(found: Found) -> Iterator[Row]:
    """Rows with the cells of `STATES`: each material, and its types, best agreeing first."""
    own = found.mechanisms
    share, attention = found.attention()
    p, largest, gains = own.agreement.p, own.agreement.p_of_largest(found.is_type), own.gain.p
    for j in state_order(found):
        state = own.asked.states[j]
        yield (
            state.name if state.cell_type is None else f"  {state.cell_type}",
            percent(share[j]),
            percent(attention[j]),
            points(own.spread[j]),
            _hundredths(own.agreement_interval[j]),
            p_value(p[j]),
            p_value(largest[j]),
            _hundredths(own.gain_interval[j]),
            p_value(gains[j]),
        )


def state_order(found: Found) -> list[int]:
    """Each material, then its types, those whose moves agree best with what happened first."""
    states, gain = found.mechanisms.asked.states, found.mechanisms.agreement.observed
    places = sorted(range(len(states)), key=lambda j: (states[j].material, states[j].cell_type is not None, -gain[j]))
    return list(places)


def gene_rows(found: Found, most: int) -> Iterator[Row]:
    """Rows with the cells of `GENES`, those whose moves agree best with what happened first."""
    own, p, largest = found.mechanisms, found.mechanisms.gene_agreement.p, found.gene_p
    for j in found.gene_order[:most]:
        yield (
            own.genes[j],
            points(own.gene_spread[j]),
            _direction(own.raises[j]),
            _hundredths(own.gene_agreement_interval[j]),
            p_value(p[j]),
            p_value(largest[j]),
        )


def _direction(raises: float) -> str:
    """In words: a share of few patients would tell of single ones."""
    if not np.isfinite(raises):
        return "–"
    how = "raises" if raises >= 0.5 else "lowers"
    most = max(raises, 1 - raises)
    return f"{how} it" if most >= ALWAYS else f"mostly {how} it" if most >= MOSTLY else "either way"


def change_rows(found: Found) -> Iterator[Row]:
    """Rows with the cells of `CHANGES`."""
    own, strange, seen = found.mechanisms, found.strange(), found.seen()
    for j, (change, interval) in enumerate(zip(own.asked.changes, own.effect_interval, strict=True)):
        text = interval_text(100 * interval.point, 100 * interval.low, 100 * interval.high, digits=1)
        genes = f"{seen[j]} of {len(change.genes)}"
        before, after = map(percent, strange[j])
        yield change.name, genes, f"{text} points", p_value(own.effect.p[j]), before, after


def points(value: float) -> str:
    """A risk in percentage points."""
    return f"{100 * value:.2f} points"


def percent(value: float) -> str:
    """A share with one digit; a dash where there is none."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else "–"


def _hundredths(one: Interval) -> str:
    return interval_text(100 * one.point, 100 * one.low, 100 * one.high, digits=2)


def plain(found: Found) -> dict[str, object]:
    """Everything as other programs read it; risks as probabilities, what is not known is NaN."""
    own, question = found.mechanisms, found.question
    card = question.rows.cohort.card
    return {
        "cohort": card.title,
        "provenance": card.provenance,
        "endpoint": question.rows.endpoint.name,
        "cause": question.cause,
        "horizon_days": own.asked.horizon_days,
        "model": question.config.model.kind,
        "patients": len(np.unique(question.rows.patients.patient_id.astype(str))),
        "folds": found.n_folds,
        "exchanges": found.n_exchanges,
        "states": _states(found),
        "genes": _genes(found),
        "changes": _changes(found),
        "found": list(findings(found)),
        "assumptions": list(assumptions(found)),
    }


def _states(found: Found) -> list[dict[str, object]]:
    own = found.mechanisms
    share, attention = found.attention()
    p, largest = own.agreement.p, own.agreement.p_of_largest(found.is_type)
    return [
        {
            "state": state.name,
            "share_of_cells": share[j],
            "share_of_attention": attention[j],
            "spread": own.spread[j],
            **_gain("first_order_gain", own.agreement_interval[j], p[j]),
            "first_order_gain_p_of_largest": largest[j],
            **_gain("brier_gain", own.gain_interval[j], own.gain.p[j]),
        }
        for j, state in enumerate(own.asked.states)
    ]


def _gain(name: str, one: Interval, p: float) -> dict[str, object]:
    return {name: one.point, f"{name}_low": one.low, f"{name}_high": one.high, f"{name}_p": p}


def _genes(found: Found) -> list[dict[str, object]]:
    own, largest, p = found.mechanisms, found.gene_p, found.mechanisms.gene_agreement.p
    return [
        {
            "gene": own.genes[j],
            "spread": own.gene_spread[j],
            "raises_in": own.raises[j],
            **_gain("first_order_gain", own.gene_agreement_interval[j], p[j]),
            "first_order_gain_p_of_largest": largest[j],
        }
        for j in found.gene_order
    ]


def _changes(found: Found) -> list[dict[str, object]]:
    own, strange, seen = found.mechanisms, found.strange(), found.seen()
    return [
        {
            "change": change.name,
            "genes": list(change.genes),
            "genes_seen": seen[j],
            "effect": interval.point,
            "low": interval.low,
            "high": interval.high,
            "p": own.effect.p[j],
            "strange_before": strange[j, 0],
            "strange_after": strange[j, 1],
        }
        for j, (change, interval) in enumerate(zip(own.asked.changes, own.effect_interval, strict=True))
    ]
