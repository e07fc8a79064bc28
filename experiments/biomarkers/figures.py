"""The volcano: how strongly every marker goes with a cause, and how surely."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.biomarkers.analysis import LEVEL, CauseScreen, Screen
from experiments.biomarkers.matrix import KINDS
from experiments.page.drawing import FAINT, INK, color_of, drawing, legend_below
from features.patients import FloatArray

MOST_LABELLED, FEWEST_LABELLED = 6, 3
FURTHEST = 6.0
"""Hazard ratios beyond 2⁶, of separated markers, are drawn there."""


def volcano(screen: Screen, of: CauseScreen) -> Figure:
    """log₂ of the hazard ratio against −log₁₀ p of the cause-specific test, coloured by kind; found ones are ringed."""
    with drawing(4.0) as (figure, (axes,)):
        ratio = np.array([one.point for one in of.cause_specific.ratios])
        x = np.clip(np.log2(np.where(ratio > 0, ratio, 1.0)), -FURTHEST, FURTHEST)
        y = -np.log10(of.cause_specific.scores.p)
        drawn = np.isfinite(y) & np.isfinite(ratio)
        kinds = np.array([screen.matrix.markers[j].kind for j in of.tested])
        many = len(of.tested) > 500
        for k, kind in enumerate(KINDS):
            own = drawn & (kinds == kind)
            if own.any():
                axes.scatter(
                    x[own], y[own], s=8 if many else 16, alpha=0.7, lw=0, color=color_of(k), label=kind, rasterized=many
                )
        passing = drawn & (of.cause_specific.q <= LEVEL)
        if passing.any():
            axes.scatter(x[passing], y[passing], s=34, facecolors="none", edgecolors=INK, lw=0.8)
        axes.axvline(0.0, color=FAINT, lw=0.9)
        for j in _labelled(of, x, y, drawn):
            name, right = screen.matrix.markers[of.tested[j]].name, x[j] > 0
            shift, side = ((-4, 3), "right") if right else ((4, 3), "left")
            axes.annotate(name, (x[j], y[j]), fontsize=7, textcoords="offset points", xytext=shift, ha=side)
        axes.set_xlabel("log₂ hazard ratio for one unit more (SD, or 1 against 0)")
        axes.set_ylabel("−log₁₀ p")
        axes.set_title(of.name)
        axes.margins(0.12)
        legend_below(figure, axes, columns=4)
    return figure


def _labelled(of: CauseScreen, x: FloatArray, y: FloatArray, drawn: NDArray[np.bool_]) -> list[int]:
    """The found markers, or the first by p where none is found, less those whose name would lie on another's."""
    apart, found = 0.06 * float(y[drawn].max(initial=1.0)), list[int]()
    for j in of.found if len(of.found) else of.order[:FEWEST_LABELLED]:
        if drawn[j] and all(abs(y[j] - y[i]) > apart for i in found):
            found.append(int(j))
        if len(found) == MOST_LABELLED:
            break
    return found
