"""The pictures: incidence under each strategy, and what its clones are worth."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.page.arms import plain_days_axis
from experiments.page.drawing import FAINT, INK, color_of, drawing, legend_below
from experiments.page.plane import Place, plane
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.strategies.analysis import Strategies
from experiments.strategies.benefit_risk import EVENT, WORTHS
from experiments.strategies.lines import plane_columns
from experiments.strategies.withheld import Withheld

DAYS = "days from time zero"


def incidence_figure(found: Strategies, cause: int, withheld: Withheld) -> Figure:
    """One cause under each strategy, with pointwise bands, and as treated (dashed); none that is withheld."""
    question, days = found.question, found.curve_days
    names = (*question.names, question.natural)
    top = 0.02
    with drawing(3.1) as (figure, (axes,)):
        for k, (name, table) in enumerate(zip(names, found.curves, strict=True)):
            if (question.outcomes.causes[cause], name) in withheld.causes:
                continue
            point, low, high = (
                np.array([getattr(one, part) for one in table[cause]]) for part in ("point", "low", "high")
            )
            if name == question.natural:
                axes.step(days, point, where="post", color=INK, lw=1.2, ls=(0, (4, 2)), label=name)
            else:
                axes.fill_between(days, low, high, step="post", color=color_of(k), alpha=0.16, lw=0)
                axes.step(days, point, where="post", color=color_of(k), lw=1.8, label=name)
                top = max(top, float(np.nanmax(high, initial=0.0)))
            top = max(top, float(point.max()))
        axes.set_title(question.outcomes.causes[cause])
        axes.set_ylim(0, min(1.0, 1.08 * top))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        plain_days_axis(axes, float(days[-1]))
        axes.set_xlabel(DAYS)
        axes.set_ylabel("cumulative incidence")
        legend_below(figure, axes, columns=2, handle=1.8)
    return figure


def plane_figure(found: Strategies, left_out: Set[str]) -> Figure:
    """Where the strategies stand by the last horizon, but those left out."""
    question, own = found.question, found.benefit_risk
    benefit, harm = plane_columns(found)[1], f"{question.outcomes.causes[0]} by day {question.horizons_days[-1]:g}"
    places = [
        Place(name, color_of(k), one.harm, one.benefit, trade)
        for k, (name, one, trade) in enumerate(zip(question.names, own.of, own.places, strict=True))
        if name not in left_out
    ]
    return plane(places, harm, benefit, float(question.horizons_days[-1]))


def weights_figure(found: Strategies, left_out: Set[str]) -> Figure:
    """Weighted days of each strategy less those of the reference, by what a day after the event is worth."""
    question, own = found.question, found.benefit_risk
    with drawing(3.1) as (figure, (axes,)):
        for k, (name, line) in enumerate(zip(question.names[1:], own.by_worth, strict=True), start=1):
            if name not in left_out:
                low, high = [one.low for one in line], [one.high for one in line]
                axes.fill_between(WORTHS, low, high, color=color_of(k), alpha=0.16, lw=0)
                axes.plot(WORTHS, [one.point for one in line], color=color_of(k), lw=1.8, label=name)
        axes.axhline(0.0, color=FAINT, lw=0.9)
        axes.axvline(question.worth[EVENT], color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.set_xlim(0, 1)
        axes.set_title(f"Weighted days, less {question.names[0]}")
        axes.set_xlabel(f"worth of a day after {question.outcomes.causes[0]}")
        axes.set_ylabel("difference, days")
        axes.grid(axis="y")
        legend_below(figure, axes, columns=2)
    return figure


def worth_figure(found: Strategies, shown: Disclosure) -> Figure:
    """How many patients the clones of each strategy are worth by day; nothing where fewer than `SMALLEST` are left."""
    question = found.question
    n_days = question.trial.followed.n_days
    with drawing(3.1) as (figure, (axes,)):
        for k, (name, one) in enumerate(zip(question.names, found.emulated.weights[:-1], strict=True)):
            n = np.array([one.n_followed(day) for day in range(n_days)], dtype=float)
            worth = np.array([one.effective(day) for day in range(n_days)])
            hidden = shown.guarded & (n < SMALLEST)
            days = np.arange(n_days)
            axes.step(days, np.where(hidden, np.nan, n), where="post", color=color_of(k), lw=1.0, ls=(0, (2, 2)))
            axes.step(days, np.where(hidden, np.nan, worth), where="post", color=color_of(k), lw=1.8, label=name)
        axes.set_title("Clones (dashed) and what they are worth")
        axes.set_ylim(bottom=0)
        plain_days_axis(axes, float(n_days))
        axes.set_xlabel(DAYS)
        axes.set_ylabel("patients")
        legend_below(figure, axes, columns=2)
    return figure
