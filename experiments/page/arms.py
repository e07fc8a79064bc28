"""What is shown of patients in arms: incidence by arm, and who is at risk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.page.curves import n_at_risk, tick_days
from experiments.page.drawing import color_of, drawing, legend_below
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.tables import html_table
from features.outcomes import Outcomes
from features.patients import FloatArray
from training.effects.arms import Arms
from training.effects.risks import RISK, Table, by_arm
from training.models.nonparametric import aalen_johansen

BAND_DAYS = 60
"""Days on which the bands of a figure are computed."""


def last_day(arms: Arms, last_horizon: float) -> float:
    """Where curves end: a quarter beyond the last horizon, and before fewer than `SMALLEST` of an arm are at risk."""
    ends = [_last_with_enough(arms.of(k)) for k in range(len(arms.names))]
    return max(last_horizon, min(1.25 * last_horizon, *ends))


def _last_with_enough(outcomes: Outcomes) -> float:
    steps = np.unique(outcomes.duration_days)
    return float(steps[n_at_risk(outcomes, steps) >= min(SMALLEST, len(outcomes))][-1])


@dataclass(frozen=True, slots=True)
class Predicted:
    """Mean predicted incidence of arms, to stand beside what is observed of them."""

    times_days: FloatArray
    """(times,)"""
    incidence: FloatArray
    """(arms, causes, times); NaN where nothing is predicted."""


def incidence_figures(arms: Arms, last: float, shown: Disclosure, predicted: Predicted | None = None) -> list[Figure]:
    """Aalen–Johansen curves of each cause by arm, with pointwise bands; none of an arm whose count is withheld.

    Dashed lines are what was predicted, where anything was.
    """
    grid = np.linspace(0.0, last, BAND_DAYS)
    bands = by_arm(arms, RISK, grid)
    return [_incidence(arms, cause, shown, last, grid, bands, predicted) for cause in range(len(arms.outcomes.causes))]


def _incidence(
    arms: Arms,
    cause: int,
    shown: Disclosure,
    last: float,
    grid: FloatArray,
    bands: tuple[Table, ...],
    predicted: Predicted | None,
) -> Figure:
    with drawing(3.1) as (figure, (axes,)):
        top = 0.02
        for k, arm in enumerate(arms.names):
            outcomes = arms.of(k)
            if shown.small(int((outcomes.cause == cause + 1).sum())):
                continue
            steps = np.unique(outcomes.duration_days[outcomes.duration_days <= last])
            days = np.concatenate([[0.0], steps, [last]])
            curve = aalen_johansen(outcomes).at(days)[cause]
            low, high = (np.array([getattr(one, end) for one in bands[k][cause]]) for end in ("low", "high"))
            axes.fill_between(grid, low, high, step="post", color=color_of(k), alpha=0.16, lw=0)
            axes.step(days, curve, where="post", color=color_of(k), lw=1.8, label=arm)
            top = max(top, float(curve.max()), float(np.nanmax(high, initial=0.0)))
            if predicted is not None:
                top = max(top, _draw_predicted(axes, predicted, k, cause, last))
        axes.set_title(arms.outcomes.causes[cause])
        axes.set_ylim(0, min(1.0, 1.08 * top))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        plain_days_axis(axes, last)
        axes.set_ylabel("cumulative incidence")
        legend_below(figure, axes, columns=3)
    return figure


def _draw_predicted(axes: Axes, predicted: Predicted, arm: int, cause: int, last: float) -> float:
    """Draw the line of an arm, if it has one; its greatest value."""
    if not np.isfinite(predicted.incidence[arm, cause]).all():
        return 0.0
    inside = predicted.times_days <= last
    days = np.concatenate([[0.0], predicted.times_days[inside]])
    mean = np.concatenate([[0.0], predicted.incidence[arm, cause, inside]])
    axes.plot(days, mean, color=color_of(arm), lw=1.6, ls=(0, (4, 2)))
    return float(mean.max())


def plain_days_axis(axes: Axes, last: float) -> None:
    """Days along the axis, without the patients at risk under them."""
    axes.set_xlim(0, last)
    axes.set_xticks(tick_days(last))
    axes.set_xlabel("days from the landmark")
    axes.grid(axis="y")


def at_risk_table(arms: Arms, last: float, shown: Disclosure, what: str = "arm") -> str:
    """Numbers of patients at risk by arm, or whatever the groups are, over days."""
    days = tick_days(last)
    counts = np.stack([n_at_risk(arms.of(k), days) for k in range(len(arms.names))])
    rows = [(name, *(shown.count(int(n)) for n in row)) for name, row in zip(arms.names, counts, strict=True)]
    return html_table("Patients at risk just before each day", (what, *(f"{day:g}" for day in days)), rows)
