"""The pictures: states and genes beside what exchanged cells give, genes by state, changed programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.mechanisms.analysis import Found
from experiments.mechanisms.lines import state_order
from experiments.page.drawing import FAINT, INK, color_of, drawing, heat_map, legend_below
from features.patients import FloatArray
from training.mechanisms.against import AgainstExchanged

MOST_GENES = 20
MOST_COLUMNS = 8


def states_figure(found: Found) -> Figure:
    """How far the cells of each state move the risk."""
    order = state_order(found)
    names = [found.mechanisms.asked.states[j].name for j in order]
    return _beside_exchanged(names, found.mechanisms.spread, order)


def genes_figure(found: Found) -> Figure:
    """How far the leading genes move the risk."""
    order = found.gene_order[:MOST_GENES].tolist()
    return _beside_exchanged([found.mechanisms.genes[j] for j in order], found.mechanisms.gene_spread, order)


def _beside_exchanged(names: Sequence[str], tested: AgainstExchanged, order: Sequence[int]) -> Figure:
    """A point each, and in grey what exchanged cells give."""
    with drawing(0.9 + 0.2 * len(order)) as (figure, (axes,)):
        for y, j in enumerate(order):
            exchanged = 100 * tested.exchanged[:, j]
            axes.plot(
                exchanged,
                np.full(len(exchanged), y),
                "|",
                color=INK,
                alpha=0.4,
                ms=7,
                label="" if y else "exchanged cells",
            )
            axes.plot(100 * tested.observed[j], y, "o", color=color_of(0), ms=5, label="" if y else "as they are")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("moves the risk by, points (SD)")
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
