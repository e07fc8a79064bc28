"""Pictures of the cells: how many, of what quality, of which types, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.cohort_report.embedding_map import Explained
from experiments.page.drawing import (
    COLORS,
    FAINT,
    INK,
    SMALL_INCHES,
    color_of,
    drawing,
    heat_map,
    legend_below,
)
from features.cells.bag import UNLABELLED
from features.patients import FloatArray, IntArray, Samples, TextArray

GREY = COLORS[4]
_HUES = tuple(color for i, color in enumerate(COLORS) if i not in (4, 10))
OTHER = "other types"
MOST_DAYS = 6
SINGLE_BARS = 60
MADS = 3.0
MAD_TO_SD = 1.4826
"""Makes the median absolute deviation of normal values their standard deviation."""


@dataclass(frozen=True, slots=True)
class TypeColors:
    """The colour of each cell type on this page: those with most cells first, few remain in grey."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, cell_types: Sequence[str], n_cells: FloatArray) -> TypeColors:
        """Give the hues to the types with most cells; unlabelled cells are grey."""
        order = np.argsort(-n_cells, kind="stable")
        return cls(tuple(cell_types[i] for i in order if cell_types[i] != UNLABELLED and n_cells[i])[: len(_HUES)])

    def __getitem__(self, name: str) -> str:
        return _HUES[self.names.index(name)] if name in self.names else GREY


def cells_figure(samples: Samples, materials: Sequence[str]) -> Figure:
    """Cells of each sample as bars, largest first, one panel a material."""
    n_cells = samples.summary.cells_by_type.sum(axis=1)
    with drawing(0.7 + 1.25 * len(materials), rows=len(materials), sharey=True) as (figure, panels):
        for axes, material in zip(panels, materials, strict=True):
            of_it = np.sort(n_cells[(samples.material == material) & (n_cells > 0)])[::-1]
            _bars(axes, np.zeros(len(of_it)), of_it, color_of(0), None)
            axes.set_title(material)
            axes.set_xlim(0, max(len(of_it), 1))
            axes.set_xticks([])
            axes.grid(axis="y")
        if n_cells.max() > 20 * max(float(np.median(n_cells[n_cells > 0])), 1.0):
            panels[0].set_yscale("log")
        panels[len(panels) // 2].set_ylabel("cells")
        panels[-1].set_xlabel("samples, largest first")
    return figure


def _bars(axes: Axes, below: FloatArray, height: FloatArray, color: str, label: str | None) -> None:
    """Bars side by side: single ones while they can be told apart, else one outline."""
    if len(height) <= SINGLE_BARS:
        at = np.arange(len(height)) + 0.5
        axes.bar(at, height, 0.86, bottom=below, color=color, label=label, lw=0)
        return
    edges = np.arange(len(height) + 1.0)
    upper, lower = (np.append(values, values[-1]) for values in (below + height, below))
    axes.fill_between(edges, lower, upper, step="post", color=color, label=label, lw=0)


def composition_figure(samples: Samples, material: str, colors: TypeColors) -> Figure:
    """Shares of cell types in each sample of a material, by day, and within a day by the share of the main type."""
    by_type = samples.summary.cells_by_type
    kept = np.flatnonzero((samples.material == material) & (by_type.sum(axis=1) > 0))
    shares = by_type[kept] / by_type[kept].sum(axis=1, keepdims=True)
    columns = _shares(shares, samples.summary.cell_types, colors)
    day = samples.day[kept]
    main = max(columns.values(), key=lambda share: float(share.sum()))
    order = np.lexsort((-main, day))
    with drawing(3.4) as (figure, (axes,)):
        below = np.zeros(len(kept))
        for name, share in columns.items():
            _bars(axes, below, share[order], colors[name], name)
            below = below + share[order]
        _day_marks(axes, day[order])
        axes.set_xlim(0, len(kept))
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylabel("share of cells")
        axes.set_title(f"{material}: {len(kept):,} samples")
        legend_below(figure, axes, columns=3)
    return figure


def _shares(shares: FloatArray, cell_types: Sequence[str], colors: TypeColors) -> dict[str, FloatArray]:
    """(samples,) by name: the types that have a hue in their order, all others as one."""
    place = {name: i for i, name in enumerate(cell_types)}
    own = [name for name in (*colors.names, UNLABELLED) if name in place and shares[:, place[name]].any()]
    columns = {name: shares[:, place[name]] for name in own}
    rest = 1.0 - np.sum(list(columns.values()), axis=0) if columns else np.ones(len(shares))
    if rest.max(initial=0.0) > 1e-9:
        columns[OTHER] = np.maximum(rest, 0.0)
    return columns


def _day_marks(axes: Axes, day: FloatArray) -> None:
    """Lines between the days where these are few."""
    days, first = np.unique(day, return_index=True)
    if len(days) > MOST_DAYS:
        axes.set_xticks([])
        axes.set_xlabel(f"samples, from day {day[0]:g} to day {day[-1]:g}")
        return
    ends = np.append(first[1:], len(day))
    for end in ends[:-1]:
        axes.axvline(end, color=INK, lw=1.2)
    axes.set_xticks((first + ends) / 2, [f"day {value:g}" for value in days])
    axes.tick_params(axis="x", length=0)


@dataclass(frozen=True, slots=True)
class Limits:
    """Robust limits of a number in the samples of one material."""

    low: float
    high: float
    n_outside: int


def robust_limits(values: FloatArray) -> Limits | None:
    """Median ± 3 MAD, MAD scaled to a standard deviation; None for fewer than 5 samples, or if most are equal.

    The rule is scater's `isOutlier` (McCarthy et al., Bioinformatics 2017;33:1179–1186).
    """
    known = values[np.isfinite(values)]
    middle = np.median(known) if len(known) else 0.0
    spread = MAD_TO_SD * float(np.median(np.abs(known - middle))) if len(known) else 0.0
    if len(known) < 5 or spread == 0:
        return None
    low, high = float(middle - MADS * spread), float(middle + MADS * spread)
    return Limits(low, high, int(((known < low) | (known > high)).sum()))


def quality_figure(
    samples: Samples, materials: Sequence[str], values: FloatArray, label: str, rng: np.random.Generator
) -> Figure:
    """One number of every sample as a dot, by material, with the robust limits; those outside in a second colour."""
    with drawing(0.9 + 0.55 * len(materials), width_inches=SMALL_INCHES) as (figure, (axes,)):
        for i, material in enumerate(materials):
            of_it = values[(samples.material == material) & np.isfinite(values)]
            limits = robust_limits(of_it)
            outside = np.zeros(len(of_it), dtype=bool)
            if limits is not None:
                outside = (of_it < limits.low) | (of_it > limits.high)
                width = limits.high - max(limits.low, 0.0)
                axes.barh(i, width, 0.8, left=max(limits.low, 0.0), color=FAINT, alpha=0.4, lw=0)
            height = i + rng.uniform(-0.28, 0.28, len(of_it))
            for marked, color, mark in ((False, color_of(0), "o"), (True, color_of(1), "D")):
                these = outside == marked
                axes.plot(of_it[these], height[these], mark, ms=3, color=color, alpha=0.65, mew=0, rasterized=True)
            if len(of_it):
                axes.plot([np.median(of_it)] * 2, [i - 0.4, i + 0.4], color=INK, lw=1.4)
        axes.set_yticks(np.arange(len(materials)), materials)
        axes.set_ylim(len(materials) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(label)
        if "share" in label:
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    return figure


def map_figure(
    xy: FloatArray, group: TextArray, colors: dict[str, str], title: str, method: str, *, named: bool
) -> Figure:
    """Cells on a plane, in the colours of their groups, drawn in an order that has nothing to do with groups."""
    with drawing(4.1) as (figure, (axes,)):
        shade = [colors.get(str(name), GREY) for name in group]
        axes.scatter(xy[:, 0], xy[:, 1], c=shade, s=3.5, alpha=0.75, lw=0, rasterized=True)
        _plane_axes(axes, method)
        axes.set_title(title)
        if named:
            for name in [name for name in colors if (group == name).any()]:
                axes.scatter([], [], color=colors[name], s=22, label=name)
            legend_below(figure, axes, columns=3)
    return figure


def value_map_figure(xy: FloatArray, value: FloatArray, title: str, method: str) -> Figure:
    """Cells on a plane, shaded by a value, the greatest on top; its extreme hundredths share a shade."""
    known = np.flatnonzero(np.isfinite(value))
    order = known[np.argsort(value[known], kind="stable")]
    low, high = np.quantile(value[known], [0.01, 0.99]) if len(known) else (0.0, 1.0)
    with drawing(4.1) as (figure, (axes,)):
        shown = axes.scatter(
            xy[order, 0], xy[order, 1], c=value[order], cmap="viridis", vmin=low, vmax=max(high, low + 1e-9), s=3.5,
            lw=0, rasterized=True,
        )  # fmt: skip
        _plane_axes(axes, method)
        axes.set_title(title)
        figure.colorbar(shown, ax=axes, shrink=0.7, pad=0.02)
    return figure


def _plane_axes(axes: Axes, method: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{method} 1")
    axes.set_ylabel(f"{method} 2")


def explained_figure(rows: Sequence[Explained], n_axes: int) -> Figure:
    """Adjusted R² of each principal axis by grouping, as a heat map."""
    with drawing(0.9 + 0.3 * len(rows)) as (figure, (axes,)):
        table = np.array([row.by_axis[:n_axes] for row in rows])
        heat_map(axes, table, lambda _: color_of(0), lambda value: f"{100 * value:.0f}")
        axes.set_xticks(np.arange(table.shape[1]), [f"{j + 1}" for j in range(table.shape[1])])
        axes.set_yticks(np.arange(len(rows)), [row.grouping for row in rows])
        axes.set_xlabel("principal axis")
        axes.set_title("Variance explained, %")
    return figure


def group_colors(group: IntArray | TextArray) -> dict[str, str]:
    """A colour for every group, in the order of names."""
    return {str(name): _HUES[i % len(_HUES)] for i, name in enumerate(sorted({str(name) for name in group}))}
