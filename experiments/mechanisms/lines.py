"""Every number, one line each: for tables in the terminal and on the page, and for other programs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.interval_text import interval_text
from experiments.mechanisms.analysis import Found
from experiments.mechanisms.sentences import assumptions, findings
from experiments.page.tables import p_value
from training.evaluation.intervals import Interval

STATES = ("state", "of its cells", "of attention", "moves risk by", "p", "p of largest", "Brier gain ×100", "gain p")
GENES = ("gene", "moves risk by", "p", "p of largest", "more of it")
CHANGES = ("change", "genes seen", "mean change of risk", "p", "strange cells before", "and after")
Row = tuple[str, ...]


def state_rows(found: Found) -> Iterator[Row]:
    """Rows with the cells of `STATES`: each material, and its types by how far their cells move the risk."""
    own = found.mechanisms
    share, attention = found.attention()
    largest, gains = own.spread.p_of_largest(found.is_type), own.gain.p
    for j in state_order(found):
        state = own.asked.states[j]
        yield (
            state.name if state.cell_type is None else f"  {state.cell_type}",
            percent(share[j]),
            percent(attention[j]),
            points(own.spread.observed[j]),
            p_value(own.spread.p[j]),
            p_value(largest[j]),
            _hundredths(own.gain_interval[j]),
            p_value(gains[j]),
        )


def state_order(found: Found) -> list[int]:
    """Each material, then its types, those that move the risk most first."""
    states, spread = found.mechanisms.asked.states, found.mechanisms.spread.observed
    places = sorted(range(len(states)), key=lambda j: (states[j].material, states[j].cell_type is not None, -spread[j]))
    return list(places)


def gene_rows(found: Found, most: int) -> Iterator[Row]:
    """Rows with the cells of `GENES`, those that move the risk most first."""
    own, largest = found.mechanisms, found.gene_p
    p = own.gene_spread.p
    for j in found.gene_order[:most]:
        moved = points(own.gene_spread.observed[j])
        yield own.genes[j], moved, p_value(p[j]), p_value(largest[j]), _direction(own.raises[j])


def _direction(raises: float) -> str:
    if not np.isfinite(raises):
        return "–"
    return f"raises it in {raises:.0%}" if raises >= 0.5 else f"lowers it in {1 - raises:.0%}"


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
    largest = own.spread.p_of_largest(found.is_type)
    return [
        {
            "state": state.name,
            "share_of_cells": share[j],
            "share_of_attention": attention[j],
            "spread": own.spread.observed[j],
            "spread_p": own.spread.p[j],
            "spread_p_of_largest": largest[j],
            "brier_gain": own.gain_interval[j].point,
            "brier_gain_low": own.gain_interval[j].low,
            "brier_gain_high": own.gain_interval[j].high,
            "brier_gain_p": own.gain.p[j],
        }
        for j, state in enumerate(own.asked.states)
    ]


def _genes(found: Found) -> list[dict[str, object]]:
    own, largest, p = found.mechanisms, found.gene_p, found.mechanisms.gene_spread.p
    return [
        {
            "gene": own.genes[j],
            "spread": own.gene_spread.observed[j],
            "p": p[j],
            "p_of_largest": largest[j],
            "raises_in": own.raises[j],
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
