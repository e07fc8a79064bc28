"""Rows of tables: one marker each, against one cause."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.biomarkers.analysis import CauseScreen, Screen, Tested
from experiments.interval_text import interval_text
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.tables import number, p_value
from training.effects.estimates import Estimate

Row = tuple[str, ...]
GREATEST = 1000
"""Hazard ratios above this, or below its inverse, are not written out."""
TESTED = ("marker", "n", "events", "hazard ratio", "p", "permuted p", "q", "stable", "subdistribution", "p", "q")


def ratio_text(one: Estimate) -> str:
    """A hazard ratio and its interval; of markers that tell who has the event, no more than that it is beyond."""
    if one.point > GREATEST or one.point < 1 / GREATEST:
        return f">{GREATEST}" if one.point > GREATEST else f"<1/{GREATEST}"
    shown = interval_text(one.point, one.low, min(one.high, GREATEST), digits=2)
    return shown.replace(f" {GREATEST}.00]", f" >{GREATEST}]") if one.high > GREATEST else shown


def tested_rows(screen: Screen, of: CauseScreen, places: Iterable[int], shown: Disclosure) -> list[Row]:
    """Rows with the cells of `TESTED`; a dash where nothing is known.

    Args:
        screen: The screen.
        of: The cause.
        places: Among the tested markers.
        shown: What may be shown of real patients.
    """
    return [_tested(screen, of, j, shown) for j in places]


def _tested(screen: Screen, of: CauseScreen, j: int, shown: Disclosure) -> Row:
    first, second = of.cause_specific, of.subdistribution
    cells = [
        screen.matrix.markers[of.tested[j]].name,
        _measured(int(of.n[j]), len(screen.question.outcomes), shown),
        _measured(int(of.n_events[j]), int((screen.question.outcomes.cause == of.cause).sum()), shown),
        ratio_text(first.ratios[j]),
        p_value(first.scores.p[j]),
        p_value(first.permuted.p[j]),
        number(first.q[j]),
        f"{of.stability.frequency[j]:.0%}",
    ]
    cells += [ratio_text(second.ratios[j]), p_value(second.scores.p[j]), number(second.q[j])] if second else ["–"] * 3
    return tuple(cells)


def _measured(n: int, of_all: int, shown: Disclosure) -> str:
    """How many of all, unless a small count of the others would follow from it."""
    return f"≥{of_all - SMALLEST + 1:,}" if shown.small(of_all - n) else f"{n:,}"


def further_columns(screen: Screen) -> Row:
    """Of what was asked beside: beyond the clinic, and by arm."""
    beyond = ("marker", "beyond the clinic", "p", "permuted p", "q", "subdistribution", "p", "q")
    found = beyond if screen.question.clinic is not None else ("marker",)
    arms = screen.question.arms
    return found if arms is None else (*found, *arms.names, "interaction p", "q")


def further_rows(screen: Screen, of: CauseScreen, places: Iterable[int]) -> list[Row]:
    """Rows with the cells of `further_columns`."""
    return [_further(screen, of, j) for j in places]


def _further(screen: Screen, of: CauseScreen, j: int) -> Row:
    cells = [screen.matrix.markers[of.tested[j]].name]
    if screen.question.clinic is not None:
        cells += _beyond(of.beyond, j, permuted=True) + _beyond(of.beyond_subdistribution, j, permuted=False)
    if of.by_arm is not None:
        cells += [ratio_text(one) for one in of.by_arm.within[j].ratios]
        cells += [p_value(of.by_arm.p[j]), number(of.by_arm.q[j])]
    return tuple(cells)


def _beyond(one: Tested | None, j: int, *, permuted: bool) -> list[str]:
    if one is None:
        return ["–"] * (4 if permuted else 3)
    p = [p_value(one.scores.p[j])] + ([p_value(one.permuted.p[j])] if permuted else [])
    return [ratio_text(one.ratios[j]), *p, number(one.q[j])]
