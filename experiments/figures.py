"""What people would rather look at: calibration and cumulative incidence, small enough for MLflow's compare page."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.calibration import calibration_groups
from training.models.nonparametric import aalen_johansen

SIZE_INCHES = (4.4, 3.3)
PALETTE = ("#0b6e99", "#c4572c", "#5b8c3a", "#7b5aa6", "#8a8a8a", "#b8860b")
"""Distinguishable without colour vision, in the order of causes."""
GROUPS = 5
"""Groups of predicted risk in a calibration plot."""


def calibration_figure(
    incidence: NDArray[np.float64], times_days: NDArray[np.float64], outcomes: Outcomes, horizon_days: float, title: str
) -> Figure:
    """Observed (Aalen–Johansen) against predicted risk in groups, one line a cause, with 95 % intervals.

    Args:
        incidence: (rows, causes, times), out of fold.
        times_days: (times,).
        outcomes: What happened to the rows.
        horizon_days: One of `times_days`.
        title: Over the axes.
    """
    figure, axes = _axes(title, f"predicted risk by day {horizon_days:g}", "observed risk")
    at = int(np.searchsorted(times_days, horizon_days))
    top = 0.05
    for k, cause in enumerate(outcomes.causes):
        groups = calibration_groups(incidence[:, k, at], outcomes, k + 1, horizon_days, n_groups=GROUPS)
        predicted = np.array([group.predicted for group in groups])
        observed = np.array([[group.observed.point, group.observed.low, group.observed.high] for group in groups])
        whiskers = np.nan_to_num(np.abs(observed[:, 1:] - observed[:, :1])).T
        axes.errorbar(predicted, observed[:, 0], yerr=whiskers, fmt="o-", ms=3, lw=1, color=_color(k), label=cause)
        top = max(top, predicted.max(), float(np.nanmax(observed)))
    axes.plot([0, top], [0, top], ls=":", lw=1, color="black", zorder=0)
    axes.set_xlim(0, 1.05 * top)
    axes.set_ylim(0, 1.05 * top)
    axes.legend(fontsize=6, frameon=False, loc="upper left")
    return figure


def incidence_figure(
    incidence: NDArray[np.float64], times_days: NDArray[np.float64], outcomes: Outcomes, title: str
) -> Figure:
    """Mean predicted incidence (lines) over the Aalen–Johansen estimate (steps), one colour a cause."""
    figure, axes = _axes(title, "days from the landmark", "cumulative incidence")
    observed = aalen_johansen(outcomes)
    times = np.concatenate([[0.0], times_days])
    steps = np.union1d([0.0, times[-1]], observed.times_days[observed.times_days < times[-1]])
    for k, cause in enumerate(outcomes.causes):
        axes.step(steps, observed.at(steps)[k], where="post", lw=1, alpha=0.55, color=_color(k))
        axes.plot(times, np.concatenate([[0.0], incidence[:, k].mean(axis=0)]), lw=1.6, color=_color(k), label=cause)
    axes.plot([], [], lw=1, color="black", alpha=0.55, label="observed (Aalen–Johansen)")
    axes.set_xlim(0, times[-1])
    axes.set_ylim(0, None)
    axes.legend(fontsize=6, frameon=False, loc="upper left")
    return figure


def net_benefit_figure(table: pd.DataFrame, horizon_days: float, title: str) -> Figure:
    """Decision curve: net benefit of treating by predicted risk, with its interval, of treating all, and nobody.

    Args:
        table: threshold, model, model_low, model_high, treat_all; one landmark and horizon.
        horizon_days: Of the risk.
        title: Over the axes.
    """
    figure, axes = _axes(title, f"treat from this risk by day {horizon_days:g} on", "net benefit")
    threshold = table["threshold"]
    axes.fill_between(threshold, table["model_low"], table["model_high"], alpha=0.15, lw=0, color=_color(0))
    axes.plot(threshold, table["model"], "o-", ms=3, lw=1.4, color=_color(0), label="by predicted risk")
    axes.plot(threshold, table["treat_all"], lw=1, color=_color(1), label="everyone")
    axes.axhline(0.0, lw=1, ls=":", color="black", label="nobody")
    known = np.nan_to_num(table[["model", "model_high", "treat_all"]].to_numpy())
    top = max(0.01, float(known.max()))
    axes.set_ylim(-0.3 * top, 1.1 * top)
    axes.legend(fontsize=6, frameon=False)
    return figure


def counts_figure(table: pd.DataFrame, event: str, title: str) -> Figure:
    """Mean number of events by time, one line a group of patients, with 95 % intervals.

    Args:
        table: group, day, mean, low, high.
        event: What is counted.
        title: Over the axes.
    """
    figure, axes = _axes(title, "days from the landmark", f"mean number of events: {event}")
    for number, (group, part) in enumerate(table.groupby("group", sort=False)):
        days = np.concatenate([[0.0], part["day"]])
        mean, low, high = (np.concatenate([[0.0], part[name]]) for name in ("mean", "low", "high"))
        axes.fill_between(days, low, high, step="post", alpha=0.12, lw=0, color=_color(number))
        axes.step(days, mean, where="post", lw=1.4, color=_color(number), label=str(group))
    axes.set_xlim(0, float(table["day"].max()))
    axes.set_ylim(0, None)
    axes.legend(fontsize=6, frameon=False, loc="upper left")
    return figure


def _axes(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.set_title(title, fontsize=8)
    axes.set_xlabel(x_label, fontsize=8)
    axes.set_ylabel(y_label, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _color(index: int) -> str:
    return PALETTE[index % len(PALETTE)]
