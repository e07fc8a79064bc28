"""The comparison of predictions with outcomes for people: one page, figures over time first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures import PALETTE
from experiments.follow_up.compared import Compared
from experiments.follow_up.judged import FEWEST, LARGE_LOSS, LARGE_RATIO, LEVEL, Judged
from experiments.interval_text import interval_text
from experiments.page.drawing import drawing
from experiments.page.shell import Heading, Section, absent, figures, paragraph, render, write_page
from experiments.page.tables import html_table, number, p_value
from training.evaluation.comparison import Difference
from training.evaluation.intervals import Interval

MOST_STRETCHES = 12
"""Shown in a figure; the tables hold all."""


def write_follow_up_page(path: Path, judged: Sequence[Judged], compared: Sequence[Compared]) -> None:
    """Write the page.

    Raises:
        SequelaError: It cannot be written.
    """
    alerts = sum(one.alert for one in judged if not one.shadow)
    models = tuple(dict.fromkeys((one.model, one.shadow) for one in judged))
    heading = Heading(
        title="Predictions and outcomes of a served model",
        kind="follow-up",
        banner="" if not alerts else f"{alerts} alerts: predictions do not come true as they did in training.",
        facts={
            "Model": ", ".join(dict.fromkeys(name for name, _ in models)),
            "Last stretch": f"from {max(one.first for one in judged)}",
        },
        tiles={"alerts": str(alerts), "stretches": str(len({one.first for one in judged}))},
    )
    sections = [
        _section(model, [one for one in judged if (one.model, one.shadow) == model], i)
        for i, model in enumerate(models)
    ]
    write_page(path, render(heading, [*sections, _challengers(compared), _how()]))


def _section(model: tuple[str, bool], judged: Sequence[Judged], i: int) -> Section:
    drawn = []
    for cause in dict.fromkeys(one.cause for one in judged):
        own = [one for one in judged if one.cause == cause]
        ratio, auc = f"{cause}: observed over expected", f"{cause}: AUC"
        drawn += [(_ratios(own, ratio), ratio, _said(own, "o_e")), (_aucs(own, auc), auc, _said(own, "auc"))]
    where = " (in the shadow)" if model[1] else ""
    return Section(f"model{i}", model[0] + where, figures(drawn, f"model{i}") + _table(judged))


def _ratios(judged: Sequence[Judged], title: str) -> Figure:
    def finish(axes: Axes) -> None:
        axes.axhline(1.0, color=PALETTE[0], linewidth=0.8, linestyle="--")
        axes.set_ylabel("observed / expected")

    return _over_time(judged, title, lambda one: one.o_e, finish)


def _aucs(judged: Sequence[Judged], title: str) -> Figure:
    before = {one.horizon_days: one.auc_before for one in judged if one.auc_before is not None}

    def finish(axes: Axes) -> None:
        for i, horizon in enumerate(sorted({one.horizon_days for one in judged})):
            if horizon in before:
                axes.axhline(before[horizon], color=PALETTE[i % len(PALETTE)], linewidth=0.8, linestyle="--")
        axes.set_ylabel("AUC; dashed: in training")

    return _over_time(judged, title, lambda one: one.auc, finish)


def _over_time(
    judged: Sequence[Judged], title: str, value_of: Callable[[Judged], Interval], finish: Callable[[Axes], None]
) -> Figure:
    stretches = sorted({one.first for one in judged})[-MOST_STRETCHES:]
    horizons = sorted({one.horizon_days for one in judged})
    with drawing(2.6) as (figure, (axes,)):
        axes.set_title(title)
        for i, horizon in enumerate(horizons):
            own = [one for one in judged if one.horizon_days == horizon and one.first in stretches]
            values = np.array([(value_of(one).low, value_of(one).point, value_of(one).high) for one in own])
            known = np.isfinite(values[:, 1])
            x = np.array([stretches.index(one.first) for one in own]) + 0.12 * (i - (len(horizons) - 1) / 2)
            low, point, high = values[known].T
            bars = np.nan_to_num(np.maximum(np.stack([point - low, high - point]), 0.0))
            color = PALETTE[i % len(PALETTE)]
            axes.errorbar(x[known], point, bars, fmt="o-", color=color, markersize=4, label=f"{horizon:g} days")
        finish(axes)
        axes.set_xticks(range(len(stretches)), [f"{day:%b %Y}" for day in stretches], rotation=30)
        axes.legend()
    return figure


def _said(judged: Sequence[Judged], name: str) -> str:
    last = [one for one in judged if one.first == max(each.first for each in judged)]
    return "; ".join(f"by {one.horizon_days:g} days {_interval(getattr(one, name))}" for one in last)


def _table(judged: Sequence[Judged]) -> str:
    columns = ("cause", "days", "from", "patients", "events", "O/E", "p", "AUC", "before", "p", "Brier", "IPA", "")
    rows = [
        (
            one.cause,
            f"{one.horizon_days:g}",
            f"{one.first}",
            f"{one.n_known:,} of {one.n_predicted:,}",
            f"{one.n_events:,}",
            _interval(one.o_e),
            p_value(one.p_o_e),
            _interval(one.auc),
            "–" if one.auc_before is None else number(one.auc_before),
            p_value(one.p_auc),
            _interval(one.brier),
            _interval(one.ipa),
            " ".join(
                said
                for said, true in (("calibration", one.miscalibrated), ("discrimination", one.discriminates_less))
                if true
            ),
        )
        for one in sorted(judged, key=lambda one: (not one.alert, one.first))
    ]
    caption = "Every cause, horizon and stretch; alerts first, p-values adjusted within a stretch"
    return html_table(caption, columns, rows)


def _challengers(compared: Sequence[Compared]) -> Section:
    title = "Challenger against champion"
    if not compared:
        return Section("shadow", title, absent("No challenger stood in the shadow, or too few courses are known."))
    columns = ("challenger", "champion", "from", "patients", "cause", "days", "risks apart", "Brier", "p", "AUC", "p")
    rows = [
        (
            one.challenger,
            one.champion,
            f"{one.first}",
            f"{one.n_patients:,}",
            one.cause,
            f"{one.horizon_days:g}",
            f"{one.mean_difference:.1%}",
            _interval(one.brier),
            p_value(one.brier.p),
            _interval(one.auc),
            p_value(one.auc.p),
        )
        for one in compared
    ]
    said = "Challenger less champion on the same patients; better is a Brier score below 0 and an AUC above 0."
    return Section("shadow", title, paragraph(said) + html_table("P-values adjusted within a stretch", columns, rows))


def _interval(value: Interval | Difference) -> str:
    return interval_text(value.point, value.low, value.high)


def _how() -> Section:
    text = (
        "Of each patient the prediction from the first landmark of a stretch is compared with what happened after it; "
        "patients of whom nothing was told are left out, as if they were like the others. O/E is the Aalen–Johansen "
        "incidence over the mean risk; AUC, Brier score and IPA are weighted for censoring; brackets are 95 % "
        "intervals over patients. Tested are whether the mean risk is the incidence, and whether the AUC is lower than "
        f"in training, adjusted by Holm's method over all tests of a stretch. An alert: adjusted p below {LEVEL:g}, "
        f"and O/E beyond {1 / LARGE_RATIO:g} to {LARGE_RATIO:g} or an AUC lower by at least {LARGE_LOSS:g}. A horizon "
        f"is judged once those whose status is known are worth {FEWEST} patients, as weighted. Where people acted on "
        "predictions, fewer events may be the model's success and not its fault."
    )
    return Section("how", "How this was judged", paragraph(text))
