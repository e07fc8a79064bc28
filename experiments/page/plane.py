"""Benefit upwards, harm to the right: where groups or strategies stand, each with its intervals and joint region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.page.drawing import drawing, legend_below
from training.effects.estimates import Estimate
from training.evaluation.intervals import Interval
from training.states.weighted_time import Trade


@dataclass(frozen=True, slots=True)
class Place:
    """One cross on the plane."""

    name: str
    color: str
    harm: Estimate | Interval
    benefit_days: Estimate | Interval
    trade: Trade | None = None
    """For the joint 95 % region; None: none is drawn."""


def plane(places: Sequence[Place], harm: str, benefit: str, most_days: float) -> Figure:
    """Draw the plane; up and to the left is better.

    Args:
        places: What stands on it.
        harm: Of the axis to the right, a probability.
        benefit: Of the axis upwards, in days.
        most_days: The most that the benefit can be.
    """
    with drawing(3.4) as (figure, (axes,)):
        for one in places:
            if one.trade is not None:
                across, up = one.trade.region()
                axes.fill(across, up, color=one.color, alpha=0.12, lw=0)
                axes.plot(across, up, color=one.color, lw=0.9)
            axes.plot([one.harm.low, one.harm.high], [one.benefit_days.point] * 2, color=one.color, lw=1.6)
            axes.plot([one.harm.point] * 2, [one.benefit_days.low, one.benefit_days.high], color=one.color, lw=1.6)
            axes.plot(one.harm.point, one.benefit_days.point, marker="o", ms=5, color=one.color, lw=0, label=one.name)
        axes.set_title("Better: up and to the left")
        axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
        axes.set_ylim(top=min(most_days, axes.get_ylim()[1]))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_xlabel(harm)
        axes.set_ylabel(benefit)
        axes.grid()
        legend_below(figure, axes, columns=3)
    return figure
