"""Sections on how good the predictions are: calibration, discrimination, accuracy, usefulness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.page.privacy import SMALLEST
from experiments.page.shell import Section, absent, figures, paragraph
from experiments.page.tables import html_table
from experiments.run_page import facts
from experiments.run_page.analysis import Analysis, FromLandmark
from experiments.run_page.facts import estimate
from experiments.run_page.figures import (
    auc_figure,
    brier_figure,
    calibration_figure,
    counts_figure,
    decision_figure,
    drawn_groups,
    ipa_figure,
    permutation_figure,
)
from experiments.run_page.over_time import Calibration, OverTime
from training.evaluation.intervals import Interval

MOST_PANELS = 6
FEW_EVENTS = "Too few events for a curve."
CALIBRATION = (("o_e", 2), ("calibration_intercept", 3), ("calibration_slope", 2), ("ici", 3), ("e50", 3), ("e90", 3))
ACCURACY: Mapping[str, Callable[[Interval], str]] = {
    "brier": partial(estimate, digits=4),
    "ipa": partial(estimate, percent=True),
}
Part = tuple[Figure, str, str]


def scores_section(a: Analysis) -> Section:
    """Overall scores of every cause from every landmark, as scores.csv has them."""
    endpoint = a.record.rows.endpoint
    rows = [
        (
            f"{cause}, from day {of.at.day:g}",
            estimate(a.record.score(of.at.day, cause, "ibs"), 4),
            estimate(a.record.score(of.at.day, cause, "ipa"), percent=True),
            estimate(a.record.score(of.at.day, cause, "c")),
        )
        for of in a.landmarks
        for cause in endpoint.causes
    ]
    columns = ("cause", "integrated Brier score", "IPA", "concordance")
    body = paragraph(f"{facts.model(a)} {facts.validation(a)}")
    body += html_table("Out-of-fold scores with 95 % intervals", columns, rows) + paragraph(facts.beats_null(a))
    if a.record.permutation is not None:
        body += _permutation(a)
    return Section("scores", "Scores", body)


def _permutation(a: Analysis) -> str:
    test = a.record.permutation or {}
    text = (
        f"Permutation test of the whole run: with outcomes exchanged between patients {len(test['permuted'])} times, "
        f"p = {test['p']:.3g} (endless permutations: {test['p_low']:.3g} to {test['p_high']:.3g}); the "
        f"{test['statistic']} is {test['observed']:.3f}."
    )  # fmt: skip
    return paragraph(text) + figures([(permutation_figure(test), "Each bar counts permutations.", text)], "perm")


def calibration_section(a: Analysis) -> Section:
    """Curves and groups at each horizon, and the numbers beside them."""
    panels = [(of, one) for of in a.landmarks for one in of.calibrations]
    parts = [_calibration_part(of, one, a) for of, one in panels[:MOST_PANELS]]
    rows = [
        (f"by {at:g} days, from day {of.at.day:g}", *_calibrated(a, of, at))
        for of in a.landmarks
        for at in a.record.rows.endpoint.horizons_days
    ]  # fmt: skip
    columns = ("horizon", *(facts.METRICS[name] for name, _ in CALIBRATION))
    body = paragraph(
        f"Does {a.cause} happen to as many as predicted? The line is a smooth curve through pseudo-values, the dots "
        "are groups of equal size with 95 % intervals; on the dashed diagonal, prediction and observation agree."
    )
    body += figures(parts, "cal", small=True) if parts else absent(FEW_EVENTS)
    body += _rest(len(panels))
    return Section("calibration", "Calibration", body + html_table("Calibration with 95 % intervals", columns, rows))


def _calibrated(a: Analysis, of: FromLandmark, at: float) -> Iterator[str]:
    for name, digits in CALIBRATION:
        yield estimate(a.record.score(of.at.day, a.cause, name, at), digits)


def _calibration_part(of: FromLandmark, one: Calibration, a: Analysis) -> Part:
    groups = drawn_groups(one, a.shown)
    hidden = len(one.groups) - len(groups)
    caption = (f"{len(groups)} groups." if len(groups) != 1 else "1 group.") + (
        f" {hidden} of few events not drawn." if hidden else ""
    )
    value = a.record.score(of.at.day, a.cause, "o_e", one.horizon_days)
    words = f"By {one.horizon_days:g} days from day {of.at.day:g}: observed over expected {estimate(value, 2)}."
    return calibration_figure(one, of.at.day, a.shown), caption, words


def _rest(panels: int) -> str:
    more = panels - MOST_PANELS
    return paragraph(f"{more} more panels are not drawn, for want of room; the tables hold all.") if more > 0 else ""


def discrimination_section(a: Analysis) -> Section:
    """AUC by time, and at the horizons."""
    caption = "The band is the pointwise 95 % interval; dashed: chance."
    parts = [
        (auc_figure(of.over_time, of.at.day), caption, _auc_words(of.over_time, of.at.day))
        for of in a.landmarks
        if of.over_time is not None and np.isfinite(of.over_time.auc).any()
    ]
    text = (
        f"Of two patients of one fold, does the one who meets {a.cause} have the higher predicted risk? 0.5 is chance, "
        "1 always."
    )
    body = paragraph(text) + (figures(parts, "auc") if parts else absent(FEW_EVENTS))
    body += html_table("AUC with 95 % intervals", *_by_horizon(a, {"auc": estimate}))
    return Section("discrimination", "Discrimination over time", body)


def _auc_words(of: OverTime, day: float) -> str:
    (first, last), days = of.auc[[0, -1], 0], of.times_days[[0, -1]]
    return f"AUC from day {day:g}: {first:.2f} by {days[0]:.0f} days, {last:.2f} by {days[1]:.0f} days."


def _by_horizon(
    a: Analysis, metrics: Mapping[str, Callable[[Interval], str]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings, and one row a cause and horizon; each metric with how it is written."""
    rows = [
        (
            f"{cause}, by {at:g} days, from day {of.at.day:g}",
            *(
                written(a.record.score(of.at.day, cause, metric, at)) if _enough(a, of, cause, at) else "too few events"
                for metric, written in metrics.items()
            ),
        )
        for of in a.landmarks
        for cause in a.record.rows.endpoint.causes
        for at in a.record.rows.endpoint.horizons_days
    ]
    return ("cause and horizon", *(facts.METRICS[metric] for metric in metrics)), rows


def _enough(a: Analysis, of: FromLandmark, cause: str, at: float) -> bool:
    return a.record.score(of.at.day, cause, "n_events", at).point >= SMALLEST


def accuracy_section(a: Analysis) -> Section:
    """Brier score and IPA by time, against the null model."""
    parts: list[Part] = []
    for of in a.landmarks:
        if of.over_time is None:
            continue
        model, null = of.over_time.brier[-1, 0], of.over_time.null[-1, 0]
        ipa, last = of.over_time.ipa[-1], of.over_time.times_days[-1]
        words = f"By {last:.0f} days from day {of.at.day:g}: Brier score {model:.3f}, of the null model {null:.3f}."
        parts.append((brier_figure(of.over_time, of.at.day), words, words))
        words = f"By {last:.0f} days from day {of.at.day:g}: IPA {estimate(Interval(*ipa), percent=True)}."
        parts.append((ipa_figure(of.over_time, of.at.day), words, words))
    text = (
        "The Brier score is the mean squared distance between predicted risk and what happened; the index of "
        "prediction accuracy (IPA) is the share by which it is below that of the null model, which predicts the "
        "Aalen–Johansen estimate of the scored patients for everyone, and has seen the outcomes. " + facts.beats_null(a)
    )
    body = paragraph(text) + (figures(parts, "acc") if parts else absent(FEW_EVENTS))
    body += html_table("Accuracy with 95 % intervals", *_by_horizon(a, ACCURACY))
    return Section("accuracy", "Accuracy against the null model", body)


def decision_section(a: Analysis) -> Section:
    """Decision curves with competing risks at each landmark and horizon."""
    table, endpoint = a.record.net_benefit, a.record.rows.endpoint
    panels = [
        (table[(table["landmark_day"] == of.at.day) & (table["horizon_days"] == at)], at, of.at.day)
        for of in a.landmarks
        for at in endpoint.horizons_days
    ]
    known = [panel for panel in panels if panel[0]["treat_all"].notna().any()]
    drawn = known[:MOST_PANELS]
    parts = [(decision_figure(*panel), "Bands are 95 % intervals.", _decision_words(*panel)) for panel in drawn]
    text = (
        f"Net benefit counts those treated who would meet {a.cause}, less those treated in vain weighed by the odds of "
        "the threshold; who meets a competing event counts as treated in vain. " + facts.usefulness(a)
    )
    body = paragraph(text) + ("" if endpoint.decision is None else paragraph(facts.thresholds(a)))
    body += figures(parts, "dca", small=True) if parts else absent("Nobody is followed that long.")
    return Section("decision", "Decision curves", body + _rest(len(known)))


def _decision_words(rows: pd.DataFrame, at: float, day: float) -> str:
    best = rows.iloc[int(np.argmax(rows["gain"].fillna(-1.0).to_numpy(dtype=float)))]
    gain = Interval(*(float(best[name]) for name in ("gain", "gain_low", "gain_high")))
    return (
        f"Decision curve by {at:g} days from day {day:g}: the largest gain on the better of treating everyone and "
        f"nobody is {estimate(gain)}, at a threshold of {best['threshold']:.0%}."
    )


def counts_section(a: Analysis) -> Section | None:
    """Mean number of events of any order by thirds of risk; None where none comes back."""
    table = a.record.tables.get("counts")
    if table is None:
        return None
    few = table["events"].map(lambda n: a.shown.small(int(n)))
    table = table[~few]
    last = table.groupby("group", sort=False).last().reset_index().to_dict("records")
    words = "; ".join(
        f"{row['group']}: {estimate(Interval(row['mean'], row['low'], row['high']), 2)}" for row in last
    )  # fmt: skip
    words = f"Mean number of events a patient by the last horizon: {words}."
    text = (
        f"Every {a.cause} counts, the first and those that come back, by thirds of the predicted risk of a first one; "
        "bands are 95 % intervals."
    )
    parts = [(counts_figure(table, a.cause), words, words)]
    return Section("counts", "Numbers of events", paragraph(text) + figures(parts, "counts"))
