"""Pictures of the clinic: incidence, follow-up, missingness and laboratory trajectories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, PercentFormatter

from experiments.cohort_report.missingness import CoMissing, Known
from experiments.cohort_report.trajectories import LINEAR_TO_DAY, Trajectory
from experiments.page.curves import Curves, drawn_causes, followed, n_at_risk, tick_days
from experiments.page.drawing import (
    FAINT,
    INK,
    SMALL_INCHES,
    color_of,
    days_axis,
    drawing,
    heading,
    heat_map,
    legend_below,
)
from experiments.page.privacy import SMALLEST, Disclosure
from features.outcomes import Outcomes
from training.evaluation.intervals import Interval

MOST_NUMBERED = 14
"""Variables beyond which a map of correlations has no room for numbers."""


def incidence_figure(curves: Curves, shown: Disclosure) -> Figure:
    """Aalen–Johansen curves by cause with bands, over the numbers at risk."""
    with drawing(3.5) as (figure, (axes,)):
        top = 0.02
        for k in drawn_causes(curves, shown):
            low, high, color = curves.low[k], curves.high[k], color_of(k)
            axes.fill_between(curves.times_days, low, high, step="post", color=color, alpha=0.16, lw=0)
            line, cause = curves.incidence[k], curves.outcomes.causes[k]
            axes.step(curves.times_days, line, where="post", color=color, lw=1.8, label=cause)
            top = max(top, float(high.max()))
        axes.set_title(f"{curves.endpoint}, from day {curves.landmark_day:g}")
        axes.set_ylim(0, min(1.0, 1.08 * top))
        days_axis(axes, curves.ticks_days, float(curves.times_days[-1]), curves.at_risk, shown)
        axes.set_ylabel("cumulative incidence")
        if len(axes.get_legend_handles_labels()[0]):
            legend_below(figure, axes, columns=3)
    return figure


def follow_up_figure(outcomes: Outcomes, median: Interval, shown: Disclosure) -> Figure:
    """Reverse Kaplan–Meier curve, with the median and its interval."""
    with drawing(3.1) as (figure, (axes,)):
        steps = np.unique(outcomes.duration_days)
        last = float(steps[n_at_risk(outcomes, steps) >= min(SMALLEST, len(outcomes))][-1])
        days = np.concatenate([[0.0], steps[steps <= last]])
        axes.step(days, followed(outcomes, days), where="post", color=color_of(0), lw=1.8)
        if np.isfinite(median.point) and median.point <= last:
            axes.plot([0, median.point, median.point], [0.5, 0.5, 0], color=INK, lw=0.9, ls=(0, (2, 2)))
            axes.plot([median.low, min(median.high, last)], [0.5, 0.5], color=color_of(1), lw=3, alpha=0.7)
        axes.set_title("Still followed, had nobody died")
        axes.set_ylim(0, 1.02)
        ticks = tick_days(last)
        days_axis(axes, ticks, last, n_at_risk(outcomes, ticks), shown)
        axes.set_ylabel("share of patients")
    return figure


def known_bars(known: Known) -> Figure:
    """Share of patients of whom each variable is known, as bars."""
    with drawing(0.75 + 0.22 * len(known.names)) as (figure, (axes,)):
        share = known.share[:, 0]
        axes.barh(np.arange(len(share)), share, color=color_of(0), height=0.68)
        for i, value in enumerate(share):
            axes.text(min(value + 0.01, 1.01), i, _percent(value), va="center", fontsize=8)
        axes.set_yticks(np.arange(len(share)), known.names)
        axes.set_xlim(0, 1.12)
        axes.set_xticks([0, 0.5, 1])
        axes.invert_yaxis()
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        heading(figure, "Known at baseline")
    return figure


def _percent(value: float) -> str:
    """A share; neither all nor none unless it is."""
    return ">99%" if 0.995 <= value < 1 else "<1%" if 0 < value < 0.005 else f"{value:.0%}"


def known_map(known: Known) -> Figure:
    """Share of patients with a measurement by each landmark, as a heat map."""
    with drawing(0.8 + 0.24 * len(known.names)) as (figure, (axes,)):
        heat_map(axes, known.share, lambda _: color_of(0), _percent)
        axes.set_xticks(np.arange(len(known.columns)), known.columns)
        axes.set_yticks(np.arange(len(known.names)), known.names)
        heading(figure, "Measured at least once by")
    return figure


def co_missing_map(missing: CoMissing) -> Figure:
    """Correlation of missingness as a heat map of the lower triangle."""
    n = len(missing.names)
    with drawing(1.5 + 0.22 * n) as (figure, (axes,)):
        lower = np.where(np.tri(n, k=-1, dtype=bool), missing.correlation, np.nan)[1:, :-1]
        heat_map(
            axes,
            lower,
            lambda value: color_of(0 if value >= 0 else 1),
            lambda value: _correlation(value) if n <= MOST_NUMBERED else "",
        )
        axes.set_xticks(np.arange(n - 1), missing.names[:-1], rotation=90)
        axes.set_yticks(np.arange(n - 1), missing.names[1:])
        heading(figure, "Missing together (blue) or in turn (orange)")
    return figure


def _correlation(value: float) -> str:
    return f"{value:.1f}".replace("-", "−") if abs(value) >= 0.05 else ""


def trajectory_figure(of: Trajectory) -> Figure:
    """Median and quartiles over days since infusion, over thin lines of single patients where they may be shown."""
    with drawing(2.5, width_inches=SMALL_INCHES) as (figure, (axes,)):
        if of.lines:
            lines = LineCollection(of.lines, colors=color_of(4), alpha=0.22, linewidths=0.5, rasterized=True)
            axes.add_collection(lines)
        axes.fill_between(of.day, of.low, of.high, color=color_of(0), alpha=0.25, lw=0)
        axes.plot(of.day, of.median, color=color_of(0), lw=1.8, marker="o", ms=2.6)
        axes.axvline(0, color=FAINT, lw=0.9, zorder=0)
        _scales(axes, of)
        axes.set_title(of.label)
        axes.set_xlabel("days since infusion")
        axes.grid(axis="y")
    return figure


def _scales(axes: Axes, of: Trajectory) -> None:
    """Values on the trajectory's scale; days linear through the first weeks, then logarithmic when there are years."""
    if of.scale == "log":
        axes.set_yscale("log")
    elif of.scale == "symlog":
        axes.set_yscale("symlog", linthresh=of.linear_to, linscale=0.5)
    low, high = of.limits
    axes.set_ylim(low, high)
    if of.scale == "log":
        subs = (1.0, 2.0, 5.0) if high / low < 60 else (1.0, 3.0) if high / low < 1e3 else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    hidden = 2 * of.linear_to if of.scale == "symlog" else 0.0  # ticks so near zero that labels would meet
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "" if 0 < value < hidden else _plain(value)))
    first, last = float(of.day[0]), float(of.day[-1])
    if last > 4 * LINEAR_TO_DAY:
        axes.set_xscale("symlog", linthresh=LINEAR_TO_DAY, linscale=1.6)
        ticks = [day for day in _ticks_of_course(first) if first <= day <= last]
        axes.set_xticks(ticks, [f"{day:g}".replace("-", "−") for day in ticks])
        axes.xaxis.set_minor_locator(FixedLocator([]))
    pad = 0.03 * max(last - first, 1.0)
    axes.set_xlim(first - min(pad, 2.0), last + pad)


def _plain(value: float) -> str:
    """A value of an axis in few letters."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (letter == "M" and abs(value) >= size):
            return f"{value / size:g}{letter}".replace("-", "−")
    return f"{value:g}".replace("-", "−")


def _ticks_of_course(first: float) -> Sequence[float]:
    before = [-365.0, -90.0, -30.0, -14.0] if first < -3 else []
    return [*before, 0.0, 14.0, 30.0, 90.0, 365.0, 1461.0]
