"""Pictures of a run, in the colours of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from experiments.page.curves import Curves, drawn_causes
from experiments.page.drawing import (
    FAINT,
    INK,
    SMALL_INCHES,
    color_of,
    days_axis,
    drawing,
    heading,
    legend_below,
)
from experiments.page.privacy import Disclosure
from experiments.run_page.over_time import Calibration, OverTime
from experiments.run_page.record import AtLandmark
from experiments.run_page.subgroups import SubgroupScores
from features.patients import FloatArray
from training.evaluation.calibration import CalibrationGroup

MOST_SOURCES = 20


def incidence_figure(curves: Curves, at: AtLandmark, shown: Disclosure) -> Figure:
    """Aalen–Johansen curves with bands (steps), and the mean predicted incidence (dashed), one colour a cause."""
    with drawing(3.6) as (figure, (axes,)):
        last = float(curves.times_days[-1])
        inside = at.times_days <= last
        days = np.concatenate([[0.0], at.times_days[inside]])
        top = 0.02
        for k in drawn_causes(curves, shown):
            color, low, high = color_of(k), curves.low[k], curves.high[k]
            axes.fill_between(curves.times_days, low, high, step="post", color=color, alpha=0.16, lw=0)
            axes.step(curves.times_days, curves.incidence[k], where="post", color=color, lw=1.4)
            mean = np.concatenate([[0.0], at.incidence[:, k, inside].mean(axis=0)])
            axes.plot(days, mean, color=color, lw=2.2, ls=(0, (4, 2)), label=at.outcomes.causes[k])
            top = max(top, float(high.max()), float(mean.max()))
        axes.plot([], [], color=INK, lw=1.4, label="observed")
        axes.plot([], [], color=INK, lw=2.2, ls=(0, (4, 2)), label="predicted, mean")
        axes.set_title(f"Cumulative incidence from day {at.day:g}")
        axes.set_ylim(0, min(1.0, 1.08 * top))
        days_axis(axes, curves.ticks_days, last, curves.at_risk, shown)
        legend_below(figure, axes, columns=3, handle=2.6)
    return figure


def drawn_groups(of: Calibration, shown: Disclosure) -> list[CalibrationGroup]:
    """Groups of which nothing is withheld."""
    return [group for group in of.groups if not shown.small(group.n_events)]


def calibration_figure(of: Calibration, day: float, shown: Disclosure) -> Figure:
    """The smooth calibration curve, and groups with 95 % intervals, against the diagonal."""
    with drawing(3.0, width_inches=SMALL_INCHES) as (figure, (axes,)):
        groups = drawn_groups(of, shown)
        points = np.array([[one.predicted, one.observed.point, one.observed.low, one.observed.high] for one in groups])
        top = max(0.05, float(of.risk.max()), float(of.observed.max()))
        if len(points):
            top = max(top, float(np.nanmax(points)))
            whiskers = np.nan_to_num(np.abs(points[:, 2:] - points[:, 1:2])).T
            axes.errorbar(
                points[:, 0], points[:, 1], yerr=whiskers, fmt="o", ms=4, lw=1.2, color=color_of(1), label="groups"
            )
        axes.plot([0, top], [0, top], color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.plot(of.risk, of.observed, color=color_of(0), lw=1.8, label="smooth curve")
        axes.set_xlim(0, 1.04 * top)
        axes.set_ylim(0, 1.04 * top)
        _shares(axes, both=True)
        axes.set_title(f"By {of.horizon_days:g} days from day {day:g}")
        axes.set_xlabel("predicted risk")
        axes.set_ylabel("observed risk")
        legend_below(figure, axes)
    return figure


def auc_figure(of: OverTime, day: float) -> Figure:
    """AUC of the event of interest by time, with its band."""
    with drawing(3.0) as (figure, (axes,)):
        _band(axes, of.times_days, of.auc, 0, "AUC")
        axes.axhline(0.5, color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.set_ylim(min(0.35, float(np.nanmin(of.auc)) - 0.02), 1.0)
        _by_day(axes, f"AUC by time, from day {day:g}", "AUC")
    return figure


def brier_figure(of: OverTime, day: float) -> Figure:
    """Brier score of the model and of the same prediction for everyone, by time."""
    with drawing(3.2) as (figure, (axes,)):
        _band(axes, of.times_days, of.brier, 0, "this model")
        axes.plot(of.times_days, of.null[:, 0], color=color_of(1), lw=1.6, ls=(0, (4, 2)), label="same for everyone")
        axes.set_ylim(0, 1.08 * float(np.nanmax([of.brier[:, 2].max(), of.brier[:, 0].max(), of.null[:, 0].max()])))
        _by_day(axes, f"Brier score by time, from day {day:g}", "Brier score (lower is better)")
        legend_below(figure, axes, handle=2.2)
    return figure


def ipa_figure(of: OverTime, day: float) -> Figure:
    """Index of prediction accuracy by time."""
    with drawing(3.0) as (figure, (axes,)):
        _band(axes, of.times_days, of.ipa, 0, "IPA")
        axes.axhline(0.0, color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        _by_day(axes, f"Accuracy gained on the null model, from day {day:g}", "IPA (above 0 is better)")
    return figure


def decision_figure(table: pd.DataFrame, horizon_days: float, day: float) -> Figure:
    """Net benefit by threshold: treating by the model, everyone, and nobody."""
    with drawing(3.0, width_inches=SMALL_INCHES) as (figure, (axes,)):
        values = table[["model", "model_low", "model_high"]].to_numpy(dtype=float)
        threshold = table["threshold"].to_numpy(dtype=float)
        _band(axes, threshold, values, 0, "by predicted risk")
        axes.plot(threshold, table["treat_all"], color=color_of(1), lw=1.4, ls=(0, (4, 2)), label="everyone")
        axes.axhline(0.0, color=INK, lw=0.9, ls=(0, (2, 2)), label="nobody")
        top = max(0.01, float(np.nan_to_num(values[:, [0, 2]]).max()), float(np.nan_to_num(table["treat_all"]).max()))
        axes.set_ylim(-0.35 * top, 1.1 * top)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_title(f"By {horizon_days:g} days from day {day:g}")
        axes.set_xlabel("treat from this risk on")
        axes.set_ylabel("net benefit")
        axes.grid(axis="y")
        legend_below(figure, axes, columns=3, handle=2.2)
    return figure


def subgroup_figure(groups: Sequence[SubgroupScores], metric: str, label: str, everyone: float) -> Figure:
    """One score in every subgroup that has one, with its interval; the dotted line is everyone's."""
    scored = [(one, one.scores[metric]) for one in groups if one.scores is not None]
    with drawing(0.95 + 0.24 * len(scored)) as (figure, (axes,)):
        log = metric == "o_e"
        for i, (_, value) in enumerate(scored):
            axes.plot([value.low, value.high], [i, i], color=color_of(0), lw=1.6)
            axes.plot([value.point], [i], "o", ms=4.5, color=color_of(0))
        axes.axvline(everyone, color=color_of(1), lw=1, ls=(0, (1, 2)))
        if log:
            axes.set_xscale("log")
            axes.axvline(1.0, color=INK, lw=0.9, ls=(0, (2, 2)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xticks(_log_ticks(axes.get_xlim()))
        axes.set_yticks(np.arange(len(scored)), [f"{one.variable}: {one.level}" for one, _ in scored])
        axes.invert_yaxis()
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        heading(figure, label)
    return figure


def _log_ticks(limits: tuple[float, float]) -> list[float]:
    ticks = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
    return [tick for tick in ticks if limits[0] <= tick <= limits[1]]


def importance_figure(table: pd.DataFrame, cause: str) -> Figure:
    """How much the integrated Brier score rises when a source is permuted, the most needed on top."""
    rows = table[table["cause"] == cause].nlargest(MOST_SOURCES, "ibs_increase", keep="all").head(MOST_SOURCES)
    with drawing(0.95 + 0.22 * len(rows)) as (figure, (axes,)):
        place = np.arange(len(rows))
        values = rows[["ibs_increase", "ibs_increase_low", "ibs_increase_high"]].to_numpy(dtype=float)
        axes.barh(place, values[:, 0], color=color_of(0), height=0.66)
        whiskers = np.nan_to_num(np.abs(values[:, 1:] - values[:, :1])).T
        axes.errorbar(values[:, 0], place, xerr=whiskers, fmt="none", ecolor=INK, elinewidth=0.9)
        axes.axvline(0.0, color=FAINT, lw=0.9)
        axes.set_yticks(place, rows["source"])
        axes.invert_yaxis()
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.ticklabel_format(axis="x", style="plain")
        axes.locator_params(axis="x", nbins=5)
        heading(figure, "Rise of the integrated Brier score when permuted")
    return figure


def counts_figure(table: pd.DataFrame, event: str) -> Figure:
    """Mean number of events by time, one line a group of predicted risk, with its band."""
    with drawing(3.3) as (figure, (axes,)):
        for number, (group, part) in enumerate(table.groupby("group", sort=False)):
            days = np.concatenate([[0.0], part["day"]])
            mean, low, high = (np.concatenate([[0.0], part[name]]) for name in ("mean", "low", "high"))
            axes.fill_between(days, low, high, step="post", color=color_of(number), alpha=0.12, lw=0)
            axes.step(days, mean, where="post", color=color_of(number), lw=1.6, label=str(group))
        axes.set_xlim(0, float(table["day"].max()))
        axes.set_ylim(0, None)
        _by_day(axes, f"Mean number of events: {event}", "events a patient")
        legend_below(figure, axes)
    return figure


def permutation_figure(test: Mapping[str, Any]) -> Figure:
    """The statistic of exchanged outcomes as a histogram, and that of the true ones as a line."""
    with drawing(2.8) as (figure, (axes,)):
        axes.hist(test["permuted"], bins=min(20, max(5, len(test["permuted"]) // 3)), color=color_of(4))
        axes.axvline(test["observed"], color=color_of(1), lw=2)
        axes.set_title("Outcomes exchanged (bars), and true (line)")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("IPA")
        axes.set_ylabel("permutations")
    return figure


def _band(axes: Axes, at: FloatArray, values: FloatArray, number: int, label: str) -> None:
    """A line (points, 3) of points, lows and highs, over its band."""
    axes.fill_between(at, values[:, 1], values[:, 2], color=color_of(number), alpha=0.18, lw=0)
    axes.plot(at, values[:, 0], color=color_of(number), lw=1.8, marker="o", ms=2.6, label=label)


def _by_day(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("days from the landmark")
    axes.set_ylabel(label)
    axes.grid(axis="y")


def _shares(axes: Axes, *, both: bool) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    if both:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.locator_params(nbins=5)
