"""The pictures: states and genes beside what exchanged cells give, genes by state, changed programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.mechanisms.analysis import Found
from experiments.mechanisms.lines import state_order
from experiments.page.drawing import FAINT, INK, color_of, drawing, heat_map, legend_below
from features.patients import FloatArray
from training.evaluation.intervals import Interval
from training.mechanisms.against import AgainstExchanged

MOST_GENES = 20
MOST_COLUMNS = 8


def states_figure(found: Found) -> Figure:
    """How well the moves of the risk by each state agree with what happened."""
    order, own = state_order(found), found.mechanisms
    return _beside_exchanged([own.asked.states[j].name for j in order], own.agreement, own.agreement_interval, order)


def genes_figure(found: Found) -> Figure:
    """How well the moves of the risk by the leading genes agree with what happened."""
    order, own = found.gene_order[:MOST_GENES].tolist(), found.mechanisms
    return _beside_exchanged([own.genes[j] for j in order], own.gene_agreement, own.gene_agreement_interval, order)


def _beside_exchanged(
    names: Sequence[str], tested: AgainstExchanged, intervals: Sequence[Interval], order: Sequence[int]
) -> Figure:
    """A point with its interval each, and in grey what exchanged cells give."""
    with drawing(0.9 + 0.2 * len(order)) as (figure, (axes,)):
        for y, j in enumerate(order):
            exchanged, one = 100 * tested.exchanged[:, j], intervals[j]
            at, label = np.full(len(exchanged), y), "" if y else "exchanged cells"
            axes.plot(exchanged, at, "|", color=INK, alpha=0.4, ms=7, label=label)
            axes.plot([100 * one.low, 100 * one.high], [y, y], color=color_of(0), lw=1)
            axes.plot(100 * one.point, y, "o", color=color_of(0), ms=5, label="" if y else "as they are")
        axes.axvline(0.0, color=FAINT, lw=0.9)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("first-order gain of the Brier score ×100")
        legend_below(figure, axes)
    return figure


def genes_by_state_figure(found: Found) -> Figure | None:
    """In which types the leading genes move the risk; None with fewer than two types."""
    types = [j for j in state_order(found) if found.is_type[j]]
    if len(types) < 2:
        return None
    genes = tuple(found.mechanisms.genes[j] for j in found.gene_order[:MOST_COLUMNS])
    values = 100 * found.by_state(genes)[types]
    largest = max(float(values.max(initial=0.0)), 1e-12)
    with drawing(0.9 + 0.26 * len(types)) as (figure, (axes,)):
        heat_map(axes, values / largest, lambda _: color_of(0), lambda share: f"{share * largest:.1f}")
        axes.set_xticks(range(len(genes)), genes, rotation=35, ha="right")
        axes.set_yticks(range(len(types)), [found.mechanisms.asked.states[j].name for j in types])
    return figure


def changes_figure(found: Found) -> Figure:
    """How the mean risk changes with changed programs, with 95 % intervals."""
    own = found.mechanisms
    with drawing(0.9 + 0.22 * len(own.asked.changes)) as (figure, (axes,)):
        for y, one in enumerate(own.effect_interval):
            exchanged: FloatArray = 100 * own.effect.exchanged[:, y]
            axes.plot([-exchanged.max(), exchanged.max()], [y, y], color=FAINT, lw=6, solid_capstyle="butt")
            axes.plot([100 * one.low, 100 * one.high], [y, y], color=INK, lw=1)
            axes.plot(100 * one.point, y, "o", color=color_of(0), ms=5)
        axes.axvline(0.0, color=FAINT, lw=0.9)
        axes.set_yticks(range(len(own.asked.changes)), [one.name for one in own.asked.changes])
        axes.set_ylim(len(own.asked.changes) - 0.5, -0.5)
        axes.set_xlabel("mean change of the predicted risk, points")
    return figure
