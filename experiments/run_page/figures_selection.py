"""Pictures of whom thresholds select."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.page.drawing import INK, SMALL_INCHES, color_of, drawing, legend_below
from training.evaluation.intervals import Interval
from training.evaluation.patient_selection import Selected


def threshold_figure(at: Sequence[Selected], tiers: Sequence[float], day: float, horizon_days: float) -> Figure:
    """Share selected, sensitivity and observed risk of those selected by threshold; upright lines begin tiers."""
    with drawing(3.2, width_inches=SMALL_INCHES) as (figure, (axes,)):
        threshold = [one.threshold for one in at]
        curves = {
            "selected": [one.share for one in at],
            "sensitivity": [one.sensitivity for one in at],
            "observed risk of selected": [one.ppv for one in at],
        }
        for number, (label, values) in enumerate(curves.items()):
            point, low, high = (np.array(of) for of in zip(*map(_drawn, values), strict=True))
            axes.fill_between(threshold, low, high, color=color_of(number), alpha=0.16, lw=0)
            axes.plot(threshold, point, color=color_of(number), lw=1.8, marker="o", ms=2.6, label=label)
        for begin in tiers:
            axes.axvline(begin, color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.set_ylim(0, 1.02)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.locator_params(nbins=5)
        axes.set_title(f"By {horizon_days:g} days from day {day:g}")
        axes.set_xlabel("selected from this predicted risk on")
        axes.grid(axis="y")
        legend_below(figure, axes)
    return figure


def _drawn(value: Interval) -> tuple[float, float, float]:
    """A point without bounds has no band."""
    bounds = (value.low, value.high) if np.isfinite(value.low) else (value.point, value.point)
    return value.point, *bounds
