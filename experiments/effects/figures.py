"""The pictures: events that come back, balance, overlap."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.effects.adjustable import OUT_OF_BALANCE
from experiments.effects.analysis import Adjustment, CountedEffects, Effects
from experiments.page.arms import plain_days_axis
from experiments.page.drawing import FAINT, INK, color_of, drawing, legend_below
from experiments.page.privacy import Disclosure
from training.effects.propensity import Balance

MOST_COVARIATES = 30
"""Shown in a figure, the most unbalanced first; the table holds all."""


def counts_figure(effects: Effects, of: CountedEffects, withheld: Collection[str]) -> Figure:
    """Expected number of events by arm, with pointwise bands, adjusted ones dashed; none of an arm that is withheld."""
    first, *adjusted = of.curves
    with drawing(3.1) as (figure, (axes,)):
        for k, (arm, means) in enumerate(zip(effects.question.arms.names, first.means, strict=True)):
            if arm in withheld:
                continue
            for other in adjusted:
                mean = [one.point for one in other.means[k]]
                axes.step(of.times_days, mean, where="post", color=color_of(k), lw=1.4, ls=(0, (3, 2)))
            point, low, high = (np.array([getattr(one, part) for one in means]) for part in ("point", "low", "high"))
            axes.fill_between(of.times_days, low, high, step="post", color=color_of(k), alpha=0.16, lw=0)
            axes.step(of.times_days, point, where="post", color=color_of(k), lw=1.8, label=arm)
        axes.set_title(f"Events {of.counted.recurrences.name}")
        axes.set_ylim(bottom=0)
        plain_days_axis(axes, float(of.times_days[-1]))
        axes.set_ylabel("mean number a patient")
        legend_below(figure, axes, columns=3)
    return figure


def balance_figure(balance: Sequence[Balance]) -> Figure:
    """Standardised mean differences before and after weighting (Love plot)."""
    worst: dict[str, tuple[float, float]] = {}
    for one in balance:
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
