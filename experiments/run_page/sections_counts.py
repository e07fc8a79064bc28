"""Section on expected numbers of events, where the run asked for `counts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
from matplotlib.figure import Figure

from experiments.count_records import CountFindings, CountGroup
from experiments.page.drawing import INK, SMALL_INCHES, color_of, drawing, legend_below
from experiments.page.privacy import SMALLEST
from experiments.page.shell import Section, absent, figures, paragraph
from experiments.page.tables import html_table
from experiments.run_page.analysis import Analysis
from experiments.run_page.facts import estimate
from serving.count_messages import said_of_score
from training.artifact.blocks import Measured
from training.evaluation.intervals import Interval


def expected_section(a: Analysis) -> Section | None:
    """Expected numbers against what happened; None where the run does not count."""
    found = a.record.counts
    if found is None:
        return None
    rows = [
        (
            f"by {one.horizon_days:g} days, from day {one.landmark_day:g}",
            "–" if one.explained is None else estimate(interval_of(one.explained), percent=True),
            "–" if one.observed_over_expected is None else estimate(interval_of(one.observed_over_expected), 2),
        )
        for one in found.scores
    ]
    columns = ("horizon", "squared error explained", "observed over expected")
    return Section(
        "expected",
        "Expected numbers of events",
        paragraph(_text(a, found))
        + html_table("Out-of-fold expected numbers with 95 % intervals", columns, rows)
        + _calibration(found),
    )


def said_of_findings(found: CountFindings) -> str:
    """What expected numbers are worth by the last horizon that is known from each landmark."""
    known = {one.landmark_day: one for one in found.scores if one.explained is not None}
    return " ".join(map(said_of_score, known.values())) or "How well numbers are foretold is not known, or withheld."


def _text(a: Analysis, found: CountFindings) -> str:
    ends = " or ".join(rule.name.replace("_", " ") for rule in a.record.rows.endpoint.competing) or "follow-up alone"
    n_patients, n_events = (f"<{SMALLEST}" if n is None else f"{n:,}" for n in (found.n_patients, found.n_events))
    return (
        f"How many times does {found.event} happen after the landmark, the first time and again, until {ends} ends the "
        f"counting? {n_patients} {found.provenance} patients with {n_events} such events, an earlier one being no "
        "reason to leave a patient out. The squared error explained is that of the mean of the training patients, "
        "the same for everyone; those whose number is known stand for those who were not followed (weights 1 / G). "
        + said_of_findings(found)
    )


def _calibration(found: CountFindings) -> str:
    """Groups of similar expected number; those of few events are withheld."""
    by_day = {
        day: [one for one in found.calibration if one.landmark_day == day and one.observed is not None]
        for day in dict.fromkeys(one.landmark_day for one in found.calibration)
    }
    by_day = {day: groups for day, groups in by_day.items() if groups}
    if not by_day:
        return absent("Too few events for groups.")
    parts = (
        f"by {groups[0].horizon_days:g} days from day {day:g} "
        + ", ".join(f"{interval_of(one.observed).point:.2f} against {one.expected:.2f}" for one in groups)
        for day, groups in by_day.items()
    )
    words = f"Mean numbers observed against expected: {'; '.join(parts)}."
    caption = "Groups of equal size by expected number, with 95 % intervals; dashed: as many as expected."
    return figures([(expected_figure(by_day), caption, words)], "expected", small=True)


def expected_figure(by_day: Mapping[float, Sequence[CountGroup]]) -> Figure:
    """Mean number observed against expected, groups of each landmark in one colour."""
    with drawing(3.0, width_inches=SMALL_INCHES) as (figure, (axes,)):
        top = 0.05
        for number, (day, groups) in enumerate(by_day.items()):
            observed = [interval_of(one.observed) for one in groups]
            points = np.array([[one.point, one.low, one.high] for one in observed])
            expected = np.array([one.expected for one in groups])
            whiskers = np.nan_to_num(np.abs(points[:, 1:] - points[:, :1])).T
            label = f"from day {day:g}"
            axes.errorbar(
                expected, points[:, 0], yerr=whiskers, fmt="o", ms=4, lw=1.2, color=color_of(number), label=label
            )
            top = max(top, float(np.nanmax(points)), float(expected.max()))
        axes.plot([0, top], [0, top], color=INK, lw=0.9, ls=(0, (2, 2)))
        axes.set_xlim(0, 1.04 * top)
        axes.set_ylim(0, 1.04 * top)
        horizons = dict.fromkeys(f"{one.horizon_days:g}" for groups in by_day.values() for one in groups)
        axes.set_title(f"Numbers of events by {' or '.join(horizons)} days")
        axes.set_xlabel("expected")
        axes.set_ylabel("observed, mean")
        axes.locator_params(nbins=5)
        legend_below(figure, axes)
    return figure


def interval_of(one: Measured | None) -> Interval:
    """NaN of what is None."""
    if one is None:
        return Interval(nan, nan, nan)
    low, high = (nan if end is None else end for end in (one.low, one.high))
    return Interval(one.point, low, high)
