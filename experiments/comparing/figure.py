"""Forest plot: differences of runs with their intervals, one panel a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.comparing.comparison import METRICS, SMALLER_IS_BETTER, Comparison
from experiments.figures import PALETTE
from features.errors import SequelaError

PANEL_INCHES, LINE_INCHES = 3.6, 0.2
COLORS = {"run": PALETTE[2], "baseline": PALETTE[1], "neither": PALETTE[4]}


def comparison_figure(comparison: Comparison) -> Figure:
    """Differences of the event of interest; thick 95 % intervals, thin ones that hold all at once in a panel.

    Green: better than the baseline, red: worse, grey: not told apart once corrected. Right of the line is better in
    every panel: scales of scores that are better when small are turned round.
    """
    of_cause = comparison.table[comparison.table["cause"] == comparison.cause]
    panels = {
        name: of_cause[
            (of_cause["metric"] == name.removesuffix("_at"))
            & (of_cause["horizon_days"].notna() == name.endswith("_at"))
        ]
        for name in METRICS
    }
    heights = [max(len(panels[name]) for name in row) + 4 for row in (list(METRICS)[:3], list(METRICS)[3:])]
    size = (3 * PANEL_INCHES, LINE_INCHES * sum(heights) + 0.8)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.subplots(2, 3, gridspec_kw={"height_ratios": heights})
    for one, (name, lines) in zip(axes.flat, panels.items(), strict=True):
        _panel(one, name, lines)
    figure.suptitle(
        f"{comparison.endpoint}: {comparison.cause}, less {comparison.baseline} "
        f"({comparison.n_patients} {comparison.provenance} patients, {comparison.n_events} events)",
        fontsize=9,
    )
    return figure


def _panel(axes: Axes, name: str, lines: pd.DataFrame) -> None:
    places = np.arange(len(lines))
    for place, row in zip(places, lines.to_dict("records"), strict=True):
        color = COLORS[row["better"]]
        axes.plot([row["simultaneous_low"], row["simultaneous_high"]], [place, place], lw=0.8, color=color)
        axes.plot([row["low"], row["high"]], [place, place], lw=2.4, color=color, solid_capstyle="butt")
        axes.plot([row["difference"]], [place], "o", ms=3.5, color=color)
    axes.axvline(0.0, lw=0.8, color="black", zorder=0)
    axes.set_yticks(places, [_label(row) for row in lines.to_dict("records")])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    if name in SMALLER_IS_BETTER:
        axes.invert_xaxis()
    at = " at the horizon" if name.endswith("_at") else ""
    axes.set_xlabel(f"difference of {METRICS[name]}{at} (better →)", fontsize=7)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)


def _label(row: dict[Any, Any]) -> str:
    at = f", {row['horizon_days']:g} d" if np.isfinite(row["horizon_days"]) else ""
    return f"{row['run']}, from day {row['landmark_day']:g}{at}"


def write_figure(comparison: Comparison, path: Path) -> None:
    """Draw the forest plot into a file, its kind by the name's ending (.png, .pdf, .svg).

    Raises:
        SequelaError: No such kind can be drawn.
    """
    known = sorted(Figure().canvas.get_supported_filetypes())
    kind = path.suffix.removeprefix(".")
    if kind not in known:
        msg = (
            f"--figure {path}: no figure can be written as {kind or 'a file without an ending'}; use e.g. .png or .pdf"
        )
        raise SequelaError(msg)
    beside = path.with_name(path.name + ".part")
    comparison_figure(comparison).savefig(beside, format=kind)
    beside.rename(path)
