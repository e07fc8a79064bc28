"""The volcano of a cell type: how far every gene differs, and how surely."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.differential.analysis import LEVEL
from experiments.page.drawing import FAINT, INK, color_of, drawing

MOST_LABELLED, FEWEST_LABELLED = 6, 3
FURTHEST = 6.0
"""Fold changes beyond 2⁶ are drawn there."""


def volcano(table: pd.DataFrame, effect: str, title: str) -> Figure:
    """Effect against −log₁₀ p; found ones are ringed and named, or the first few where none is found.

    Args:
        table: Rows of one cell type of `Differential.expression`, the smallest q first.
        effect: ``log2_fold_change``, drawn shrunken, or ``difference``.
        title: The cell type.
    """
    counts = effect == "log2_fold_change"
    drawn = table.dropna(subset=["p", effect])
    x = drawn["shrunken" if counts else effect].to_numpy(dtype=np.float64)
    x = np.clip(x, -FURTHEST, FURTHEST) if counts else x
    y = -np.log10(np.maximum(drawn["p"].to_numpy(dtype=np.float64), 1e-300))
    passing = (drawn["q"] <= LEVEL).to_numpy()
    with drawing(3.6) as (figure, (axes,)):
        many = len(drawn) > 500
        axes.scatter(x, y, s=8 if many else 16, alpha=0.7, lw=0, color=color_of(0), rasterized=many)
        if passing.any():
            axes.scatter(x[passing], y[passing], s=34, facecolors="none", edgecolors=INK, lw=0.8)
        axes.axvline(0.0, color=FAINT, lw=0.9)
        apart, named = 0.06 * float(y.max(initial=1.0)), list[int]()
        for j in np.flatnonzero(passing) if passing.any() else range(min(FEWEST_LABELLED, len(y))):
            if all(abs(y[j] - y[i]) > apart for i in named) and len(named) < MOST_LABELLED:
                named.append(int(j))
        for j in named:
            shift, side = ((-4, 3), "right") if x[j] > 0 else ((4, 3), "left")
            text = str(drawn["gene"].iloc[j])
            axes.annotate(text, (x[j], y[j]), fontsize=7, textcoords="offset points", xytext=shift, ha=side)
        axes.set_xlabel("log₂ fold change, shrunken" if counts else "difference of mean intensities")
        axes.set_ylabel("−log₁₀ p")
        axes.set_title(title)
        axes.margins(0.12)
    return figure
