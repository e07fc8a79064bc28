"""Rows of tables: one marker each, against one cause."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.biomarkers.analysis import CauseScreen, Screen
from experiments.interval_text import interval_text
from experiments.page.privacy import Disclosure
from experiments.page.tables import number, p_value
from training.effects.estimates import Estimate

COLUMNS = (
    "marker", "unit", "patients", "events", "hazard ratio", "p", "q", "p, permuted", "stable", "subdistribution", "p", "q",
    "beyond the clinic", "p", "q", "interaction p", "q",
)  # fmt: skip


def ratio_text(one: Estimate) -> str:
    """A hazard ratio and its interval."""
    return interval_text(one.point, one.low, one.high, digits=2)


def rows_of(screen: Screen, of: CauseScreen, places: Iterable[int], shown: Disclosure) -> list[tuple[str, ...]]:
    """Rows with the cells of `COLUMNS`; a dash for what was not asked.

    Args:
        screen: The screen.
        of: The cause.
        places: Among the tested markers.
        shown: What may be shown of real patients.
    """
    return [_row(screen, of, j, shown) for j in places]


def _row(screen: Screen, of: CauseScreen, j: int, shown: Disclosure) -> tuple[str, ...]:
    marker, first, second = screen.matrix.markers[of.tested[j]], of.cause_specific, of.subdistribution
    cells = [
        marker.name,
        marker.unit,
        shown.count(int(of.n[j])),
        shown.count(int(of.n_events[j])),
        ratio_text(first.ratios[j]),
        p_value(first.scores.p[j]),
        number(first.q[j]),
        p_value(first.permuted.p[j]),
        f"{of.stability.frequency[j]:.0%}",
    ]
    cells += [ratio_text(second.ratios[j]), p_value(second.scores.p[j]), number(second.q[j])] if second else ["–"] * 3
    one = of.beyond
    cells += [ratio_text(one.ratios[j]), p_value(one.scores.p[j]), number(one.q[j])] if one else ["–"] * 3
    cells += [p_value(of.by_arm.p[j]), number(of.by_arm.q[j])] if of.by_arm else ["–"] * 2
    return tuple(cells)
