"""Drift for people: one page, the variables with alerts first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.drift.judged import FEWEST, LARGE_INDEX, LARGE_SHARE, LEVEL, Judgement
from experiments.figures import PALETTE
from experiments.page.drawing import drawing, heat_map
from experiments.page.shell import Heading, Section, figures, paragraph, render, write_page
from experiments.page.tables import html_table, number, p_value

MOST_ROWS, MOST_WINDOWS = 25, 12
"""Shown in a figure; the tables hold all."""


def write_drift_page(path: Path, judged: Sequence[Judgement]) -> None:
    """Write the page.

    Raises:
        SequelaError: It cannot be written.
    """
    models = tuple(dict.fromkeys(one.model for one in judged))
    alerts = sum(one.alert for one in judged)
    last = max(one.first for one in judged)
    heading = Heading(
        title="Drift of a served model",
        kind="drift",
        banner="" if not alerts else f"{alerts} alerts: what the model meets is not what it was trained on.",
        facts={"Model": ", ".join(models), "Last window": f"from {last}"},
        tiles={"alerts": str(alerts), "windows": str(len({(one.model, one.first) for one in judged}))},
    )
    sections = [_section(model, [one for one in judged if one.model == model], i) for i, model in enumerate(models)]
    write_page(path, render(heading, [*sections, _how()]))


def _section(model: str, judged: Sequence[Judgement], i: int) -> Section:
    inputs = [one for one in judged if one.what == "input"]
    risks = [one for one in judged if one.what == "risk"]
    drawn = [
        (_map(part, title), title, _alternative(part, title))
        for part, title in ((inputs, "Inputs: stability index"), (risks, "Predictions: stability index"))
        if part
    ]
    ordered = sorted(judged, key=lambda one: (not one.alert, one.first, -np.nan_to_num(one.stability_index)))
    return Section(f"model{i}", model, figures(drawn, f"model{i}") + _table(ordered))


def _map(judged: Sequence[Judgement], title: str) -> Figure:
    windows = sorted({one.first for one in judged})[-MOST_WINDOWS:]
    worst: dict[str, float] = {}
    for one in judged:
        if one.first in windows:
            worst[one.name] = max(worst.get(one.name, 0.0), float(np.nan_to_num(one.stability_index)))
    names = sorted(worst, key=lambda name: -worst[name])[:MOST_ROWS]
    values = np.full((len(names), len(windows)), np.nan)
    for one in judged:
        if one.first in windows and one.name in names:
            values[names.index(one.name), windows.index(one.first)] = one.stability_index
    with drawing(0.7 + 0.24 * len(names)) as (figure, (axes,)):
        axes.set_title(title)
        heat_map(
            axes,
            values / (2 * LARGE_INDEX),
            lambda shade: PALETTE[1] if shade >= 0.5 else PALETTE[0],
            lambda shade: f"{shade * 2 * LARGE_INDEX:.2f}",
        )
        axes.set_yticks(range(len(names)), names)
        axes.set_xticks(range(len(windows)), [f"{day:%d %b}" for day in windows])
    return figure


def _alternative(judged: Sequence[Judgement], title: str) -> str:
    high = sorted({one.name for one in judged if one.alert})
    return f"{title} by variable and window. Alerts: {', '.join(high) if high else 'none'}."


def _table(judged: Sequence[Judgement]) -> str:
    columns = ("variable", "from", "patients", "index", "largest difference", "p", "missing", "before", "p", "")
    rows = [
        (
            f"{one.name} (risk)" if one.what == "risk" else one.name,
            f"{one.first}",
            f"{one.n_rows:,}",
            number(one.stability_index),
            number(one.largest_difference),
            p_value(one.p),
            f"{one.missing_share:.0%}",
            f"{one.missing_share_before:.0%}",
            p_value(one.p_missing),
            " ".join(said for said, true in (("shifted", one.shifted), ("missing", one.missing_otherwise)) if true),
        )
        for one in judged
    ]
    return html_table("Every variable and window; alerts first, p-values adjusted within a window", columns, rows)


def _how() -> Section:
    text = (
        "Values are counted in tenths of the training patients; nothing else of a request is kept. The population "
        "stability index and the largest difference of distribution functions say how large a shift is, a χ² test "
        "whether it can be chance; Fisher's exact test compares what is missing. P-values are adjusted by Holm's "
        "method over all tests of a window, and times its days as long as it is not over. An alert: adjusted p below "
        f"{LEVEL:g}, and an index of at least "
        f"{LARGE_INDEX:g} or a share of missing values that differs by at least {LARGE_SHARE:.0%}. Windows of fewer "
        f"than {FEWEST} patients are not judged. The training patients are one sample themselves: with few of them, "
        "shifts are found late. A drift says that the model meets other patients, not that it is wrong about them: "
        "that takes outcomes."
    )
    return Section("how", "How this was judged", paragraph(text))
