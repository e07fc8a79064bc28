"""The pictures: incidence by arm, events that come back, balance, overlap."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.effects.analysis import Adjustment, CountedEffects, Effects
from experiments.effects.sentences import OUT_OF_BALANCE
from experiments.page.curves import n_at_risk, tick_days
from experiments.page.drawing import FAINT, INK, color_of, drawing, legend_below
from experiments.page.privacy import SMALLEST, Disclosure
from features.outcomes import Outcomes
from features.patients import FloatArray
from training.effects.arms import Arms
from training.effects.risks import RISK, Table, by_arm
from training.models.nonparametric import aalen_johansen

BAND_DAYS = 60
"""Days on which the bands of a figure are computed."""
MOST_COVARIATES = 30
"""Shown in a figure, the most unbalanced first; the table holds all."""


def last_day(effects: Effects) -> float:
    """Where curves end: a quarter beyond the last horizon, and before fewer than `SMALLEST` of an arm are at risk."""
    arms = effects.question.arms
    ends = [_last_with_enough(arms.of(k)) for k in range(len(arms.names))]
    return max(float(effects.question.horizons_days[-1]), min(1.25 * float(effects.question.horizons_days[-1]), *ends))


def _last_with_enough(outcomes: Outcomes) -> float:
    steps = np.unique(outcomes.duration_days)
    return float(steps[n_at_risk(outcomes, steps) >= min(SMALLEST, len(outcomes))][-1])


def incidence_figures(effects: Effects, shown: Disclosure) -> list[Figure]:
    """Aalen–Johansen curves of each cause by arm, with pointwise bands; none of an arm whose count is withheld."""
    arms, last = effects.question.arms, last_day(effects)
    grid = np.linspace(0.0, last, BAND_DAYS)
    bands = by_arm(arms, RISK, grid)
    return [_incidence(arms, cause, shown, last, grid, bands) for cause in range(len(arms.outcomes.causes))]


def _incidence(
    arms: Arms,
    cause: int,
    shown: Disclosure,
    last: float,
    grid: FloatArray,
    bands: tuple[Table, ...],
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
        axes.set_title(arms.outcomes.causes[cause])
        axes.set_ylim(0, min(1.0, 1.08 * top))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        _days(axes, last)
        axes.set_ylabel("cumulative incidence")
        legend_below(figure, axes, columns=3)
    return figure


def _days(axes: Axes, last: float) -> None:
    axes.set_xlim(0, last)
    axes.set_xticks(tick_days(last))
    axes.set_xlabel("days from the landmark")
    axes.grid(axis="y")


def counts_figure(effects: Effects, of: CountedEffects, withheld: Collection[str]) -> Figure:
    """Expected number of events by arm, with pointwise bands; none of an arm that is withheld."""
    with drawing(3.1) as (figure, (axes,)):
        for k, (arm, means) in enumerate(zip(effects.question.arms.names, of.means, strict=True)):
            if arm in withheld:
                continue
            point, low, high = (np.array([getattr(one, part) for one in means]) for part in ("point", "low", "high"))
            axes.fill_between(of.times_days, low, high, step="post", color=color_of(k), alpha=0.16, lw=0)
            axes.step(of.times_days, point, where="post", color=color_of(k), lw=1.8, label=arm)
        axes.set_title(f"Events {of.counted.recurrences.name}")
        axes.set_ylim(bottom=0)
        _days(axes, float(of.times_days[-1]))
        axes.set_ylabel("mean number a patient")
        legend_below(figure, axes, columns=3)
    return figure


def balance_figure(adjustment: Adjustment) -> Figure:
    """Standardised mean differences before and after weighting (Love plot)."""
    worst: dict[str, tuple[float, float]] = {}
    for one in adjustment.balance:
        before, after = worst.get(one.name, (0.0, 0.0))
        worst[one.name] = (max(before, abs(one.before), key=abs), max(after, abs(one.after), key=abs))
    names = sorted(worst, key=lambda name: worst[name][0])[-MOST_COVARIATES:]
    with drawing(1.1 + 0.22 * len(names)) as (figure, (axes,)):
        place = np.arange(len(names))
        axes.scatter(
            [worst[name][0] for name in names], place, color=color_of(1), marker="o", s=24, label="as they are"
        )
        axes.scatter([worst[name][1] for name in names], place, color=color_of(0), marker="s", s=24, label="weighted")
        axes.axvline(OUT_OF_BALANCE, color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.axvline(0.0, color=FAINT, lw=0.9)
        axes.set_yticks(place, names)
        axes.set_xlim(left=-0.02)
        axes.set_xlabel("largest absolute standardised mean difference")
        axes.grid(axis="y")
        legend_below(figure, axes)
    return figure


def overlap_figure(effects: Effects, adjustment: Adjustment, arm: int, shown: Disclosure) -> Figure:
    """Distribution of the probability of being in one arm, by the arm that patients were in."""
    arms = effects.question.arms
    edges = np.linspace(0.0, 1.0, 21)
    with drawing(2.6) as (figure, (axes,)):
        for k, name in enumerate(arms.names):
            own = adjustment.probability[arms.arm == k, arm]
            share = [shown.share(int(n), len(own)) for n in np.histogram(own, edges)[0]]
            axes.stairs(share, edges, color=color_of(k), lw=1.8, label=f"in {name}")
            axes.stairs(share, edges, color=color_of(k), alpha=0.16, fill=True)
        axes.set_title(f"Probability of {arms.names[arm]} given the covariates")
        axes.set_xlim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_ylabel("share of the arm")
        legend_below(figure, axes, columns=3)
    return figure
