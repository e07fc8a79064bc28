"""The pictures: states over time, benefit against harm, weighted time by what a day is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.benefit_risk.analysis import BenefitRisk, Group
from experiments.benefit_risk.patient import PatientStates
from experiments.benefit_risk.question import COMPLICATION, Question
from experiments.benefit_risk.sentences import before
from experiments.page.curves import tick_days
from experiments.page.drawing import INK, color_of, drawing, legend_below
from experiments.page.plane import Place, plane
from training.effects.estimates import difference_of
from training.states.occupation import Occupation

STATE_OPACITY = 0.75
WORTHS = np.linspace(0.0, 1.0, 41)
"""Of a day, along the axes of figures."""


def states_figure(curve: Occupation, question: Question, title: str) -> Figure:
    """Probabilities of the states over time, stacked: at any day they add up to everyone."""
    with drawing(3.1) as (figure, (axes,)):
        below = np.zeros(len(curve.times_days))
        for state, name in enumerate(question.states):
            above = below + curve.probability[:, state]
            color = _color(state, question)
            axes.fill_between(curve.times_days, below, above, color=color, alpha=STATE_OPACITY, lw=0, label=name)
            below = above
        axes.set_title(title)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_xlim(0, question.horizon_days)
        axes.set_xticks(tick_days(question.horizon_days))
        axes.set_xlabel("days from the landmark")
        axes.set_ylabel("patients")
        legend_below(figure, axes, columns=4)
    return figure


def _color(state: int, question: Question) -> str:
    """Green, orange, violet, …, and grey for the last state."""
    order = (2, 1, 3, 5, 0)
    return color_of(4 if state == len(question.states) - 1 else order[state % len(order)])


def plane_figure(groups: Sequence[Group], question: Question, patient: PatientStates | None = None) -> Figure:
    """Where the groups stand, and the patient."""
    places = [Place(one.name, color_of(k), one.harm, one.benefit, one.trade) for k, one in enumerate(groups)]
    if patient is not None:
        places.append(Place(f"patient {patient.patient_id}", INK, patient.harm, patient.benefit_days))
    harm = f"{question.states[COMPLICATION]} by day {question.horizon_days:g}"
    return plane(places, harm, f"days {before(question)}", question.horizon_days)


def weights_figure(groups: Sequence[Group], question: Question) -> Figure:
    """Expected weighted days by what a day with the complication is worth, with pointwise intervals."""
    with drawing(3.1) as (figure, (axes,)):
        for k, group in enumerate(groups):
            found = [group.days(_with(question, {COMPLICATION: float(one)})) for one in WORTHS]
            low, high = [one.low for one in found], [one.high for one in found]
            axes.fill_between(WORTHS, low, high, color=color_of(k), alpha=0.16, lw=0)
            axes.plot(WORTHS, [one.point for one in found], color=color_of(k), lw=1.8, label=group.name)
        axes.axvline(question.worth[COMPLICATION], color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.set_xlim(0, 1)
        axes.set_title("Weighted time")
        axes.set_xlabel(f"worth of a day with {question.states[COMPLICATION]}")
        axes.set_ylabel("expected weighted days")
        axes.grid(axis="y")
        legend_below(figure, axes, columns=3)
    return figure


def threshold_figure(found: BenefitRisk, group: Group, state: int) -> Figure:
    """Which of two groups has more weighted days, by the worth of a day with the complication and in a later state."""
    question, reference = found.question, found.groups[0]
    with drawing(3.4) as (figure, (axes,)):
        grid = [
            [
                difference_of(*(one.days(_with(question, {COMPLICATION: x, state: y})) for one in (group, reference)))
                for x in WORTHS
            ]
            for y in WORTHS
        ]
        point, low, high = (
            np.array([[getattr(one, part) for one in row] for row in grid]) for part in ("point", "low", "high")
        )
        sides = ((0, reference.name, -point, -high), (1, group.name, point, low))
        for color, name, more, surely_more in sides:
            axes.fill([], [], color=color_of(color), alpha=0.16, label=f"{name} has more")
            for values, opacity in ((more, 0.16), (surely_more, 0.35)):
                if (values > 0).any():
                    axes.contourf(WORTHS, WORTHS, values, levels=[0, np.inf], colors=[color_of(color)], alpha=opacity)
        axes.plot(question.worth[COMPLICATION], question.worth[state], marker="o", ms=5, color=INK, lw=0)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_title(f"{group.name} against {reference.name}")
        axes.set_xlabel(f"worth of a day with {question.states[COMPLICATION]}")
        axes.set_ylabel(f"worth of a day in {question.states[state]}")
        legend_below(figure, axes)
    return figure


def _with(question: Question, worth: dict[int, float]) -> list[float]:
    """The question's weights, some of them others."""
    return [worth.get(state, float(value)) for state, value in enumerate(question.worth)]
