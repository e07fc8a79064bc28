"""Pictures of a sweep: how it went, which parameters matter, and each parameter's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures import PALETTE, SIZE_INCHES

PANEL_INCHES = (2.6, 2.4)
PANELS_IN_ROW = 3
LONGEST_NAME = 18
LONGEST_RANGE = 30.0
"""A range whose ends differ by this factor is drawn on the logarithmic scale."""


def history_figure(table: pd.DataFrame, title: str, *, maximised: bool) -> Figure:
    """Score by trial: complete ones, pruned ones by what they had reached, and the best so far."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained", dpi=150)
    axes = figure.subplots()
    _style(axes, "trial", "score")
    axes.set_title(title, fontsize=8)
    scored = table.dropna(subset="score").sort_values("trial")
    complete, pruned = (scored[scored["state"] == state] for state in ("complete", "pruned"))
    best = complete["score"].cummax() if maximised else complete["score"].cummin()
    axes.plot(complete["trial"], complete["score"], "o", ms=3, color=PALETTE[0], label="complete")
    if len(pruned):
        axes.plot(pruned["trial"], pruned["score"], "x", ms=3, color=PALETTE[4], label="pruned")
    axes.step(complete["trial"], best, where="post", lw=1.2, color=PALETTE[1], label="best so far (optimistic)")
    axes.legend(fontsize=6, frameon=False)
    return figure


def importance_figure(shares: Mapping[str, float], title: str) -> Figure | None:
    """Horizontal bars, the parameter that explains most on top; None where nothing is known."""
    if not shares:
        return None
    figure = Figure(figsize=(SIZE_INCHES[0], 1.0 + 0.25 * len(shares)), layout="constrained", dpi=150)
    axes = figure.subplots()
    _style(axes, "share of the spread of scores (fANOVA)", "")
    axes.set_title(title, fontsize=8)
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=PALETTE[0], height=0.6)
    axes.set_xlim(0, 1)
    return figure


def slices_figure(table: pd.DataFrame, parameters: Sequence[str], metric: str, title: str) -> Figure:
    """Score of each complete trial against each parameter, one panel a parameter; lines are means of choices."""
    complete = table[table["state"] == "complete"]
    n_rows = -(-len(parameters) // PANELS_IN_ROW)
    n_columns = min(len(parameters), PANELS_IN_ROW)
    size = (max(SIZE_INCHES[0], PANEL_INCHES[0] * n_columns), PANEL_INCHES[1] * n_rows + 0.3)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    figure.suptitle(title, fontsize=8)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, key in zip(panels, parameters, strict=False):
        _style(axes, key, metric)
        _panel(axes, complete.dropna(subset=key), key)
    for axes in panels[len(parameters) :]:
        axes.set_visible(False)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, key: str) -> None:
    values, scores = table[key], table["score"]
    if pd.api.types.is_numeric_dtype(values):
        axes.plot(values, scores, "o", ms=3, color=PALETTE[0])
        if len(values) and values.min() > 0 and values.max() > LONGEST_RANGE * values.min():
            axes.set_xscale("log")
        return
    names = sorted(set(values))
    at = np.array([names.index(value) for value in values])
    axes.plot(at, scores, "o", ms=3, color=PALETTE[0])
    for number in range(len(names)):
        mean = scores[at == number].mean()
        axes.plot([number - 0.3, number + 0.3], [mean, mean], lw=1.4, color=PALETTE[1])
    shown = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=30, ha="right")
    axes.set_xlim(-0.6, len(names) - 0.4)


def _style(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, fontsize=8)
    axes.set_ylabel(y_label, fontsize=8)
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)
