"""Effects patient by patient on the page: sorted, with intervals; of real patients means of several alone."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.effects.analysis import Effects
from experiments.effects.individual import by_arm, individually, tables
from experiments.effects.withheld import Withheld
from experiments.page.drawing import INK, color_of, drawing
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Section, figures, paragraph
from experiments.page.tables import html_table
from training.effects.individual import IndividualEffects, ordered


def individual_section(effects: Effects, shown: Disclosure, withheld: Withheld) -> Section:
    """Picture and coefficients of each arm; what follows from a small count is left out."""
    cause, first = effects.causes[0].cause, effects.question.arms.names[0]
    body = "".join(map(paragraph, individually(effects, withheld)))
    drawn = []
    for k, ((arm, one), (caption, columns, rows)) in enumerate(zip(by_arm(effects), tables(effects), strict=True)):
        if withheld.causes.isdisjoint(((cause, arm), (cause, first))) and np.isfinite(one.expected).all():
            picture = individual_figure(one, f"{arm} / {first}", k + 1, shown)
            drawn.append((picture, _caption(shown), f"Expected effects of {arm} patient by patient, sorted"))
            body += html_table(caption.replace("_", " "), columns, rows)
    body += figures(drawn, "individual", small=False) if drawn else ""
    body += paragraph(
        "The line is the best straight one in the covariates, however the effect changes with them. It says what to "
        "expect on average of patients who are alike in these, not what would have become of one of them. Intervals "
        "are of each point alone."
    )
    return Section("individual", "Effects patient by patient", body)


def _caption(shown: Disclosure) -> str:
    each = f"Each point is the mean of at least {SMALLEST} patients" if shown.guarded else "Each point is a patient"
    interval = "the mean's own 95 % interval" if shown.guarded else "its 95 % interval"
    return f"{each}, from the lowest expected difference of risks on, with {interval}; dashed: the mean of all."


def individual_figure(one: IndividualEffects, title: str, color: int, shown: Disclosure) -> Figure:
    """Sorted expected effects with their intervals."""
    point, low, high = ordered(one, SMALLEST if shown.guarded else 1)
    place = (np.arange(len(point)) + 0.5) / len(point)
    with drawing(3.0) as (figure, (axes,)):
        axes.fill_between(place, 100 * low, 100 * high, color=color_of(color), alpha=0.16, lw=0)
        axes.plot(place, 100 * point, color=color_of(color), lw=0, marker="o", ms=2.2)
        axes.axhline(0.0, color=INK, lw=0.9)
        axes.axhline(100 * one.mean.point, color=color_of(color), lw=1.0, ls=(0, (3, 2)))
        axes.set_title(title)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["lowest", "¼", "½", "¾", "highest"])
        axes.set_ylabel("percentage points")
    return figure
