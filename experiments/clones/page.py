"""Clones over time, for people: one page, on which no patient stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.clones.followed import Followed
from experiments.clones.near import SPANS, courses, span_text
from experiments.clones.near_told import COLUMNS, lines
from experiments.clones.sentences import ASSUMED, findings
from experiments.page.drawing import FAINT, color_of, drawing, legend_below
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.page.shell import Heading, Section, absent, figures, paragraph, render, write_page
from experiments.page.tables import html_table, median_iqr


def write_clones_page(path: Path, found: Followed) -> None:
    """Write the page; counts below the smallest that is shown of real patients are withheld.

    Raises:
        SequelaError: It cannot be written.
    """
    card, shown = found.cohort.card, Disclosure.of(found.cohort)
    heading = Heading(
        title="Clones over time",
        kind="clonal expansion",
        banner="" if card.provenance == "real" else "Simulated patients: nothing here says anything about a real one.",
        facts={
            "Cohort": f"{card.title} ({card.provenance})",
            "Citation": card.citation,
            "Calls for a look": (
                f"a clone of {100 * found.rule.least_share:g} % or more that is {found.rule.least_ratio:g} times as "
                f"large as before, or one of {100 * found.rule.dominant_share:g} %"
            ),
        },
        tiles={"patients": shown.count(found.n_patients)}
        | ({} if shown.small(found.n_patients) else {"samples": f"{len(found.samples):,}"}),
    )
    sections = [
        Section("found", "What was found", "".join(map(paragraph, findings(found, shown)))),
        _dominance(found),
        *_near(found, shown),
        Section("assumed", "What it rests on", paragraph(ASSUMED)),
    ]
    write_page(path, render(heading, sections))


def _dominance(found: Followed) -> Section:
    """The share of the largest clone by time since infusion, over samples."""
    rows = []
    for (material, locus), own in found.samples.groupby(["material", "locus"]):
        for low, high in SPANS:
            part = own[(own["day"] > low) & (own["day"] <= high)]
            if part["patient_id"].nunique() >= SMALLEST:
                shares = median_iqr(100 * part["top_share"].to_numpy(dtype=float))
                rows.append((f"{material}, {locus}", span_text(low, high), f"{len(part):,}", shares))
    if not rows:
        return Section("largest", "The largest clone", absent(f"In no span of time have {SMALLEST} patients a sample."))
    caption = "Share of the largest clone, %: median and quartiles over samples"
    table = html_table(caption, ("Material and locus", "Days", "Samples", "Share"), rows, numeric_from=2)
    drawn = figures([(_figure(found), caption, caption)], "largest")
    return Section("largest", "The largest clone", drawn + table)


def _near(found: Followed, shown: Disclosure) -> list[Section]:
    """The share of sites near oncogenes by time since infusion; spans with fewer than five patients are not in it."""
    rows = lines(courses(found), shown)
    if not rows:
        return []
    caption = "Sites near an oncogene: mean over patients, and change from their infusion product, with 95 % intervals"
    return [Section("near", "Sites near oncogenes", html_table(caption, COLUMNS, rows, numeric_from=3))]


def _figure(found: Followed) -> Figure:
    with drawing(3.1) as (figure, (axes,)):
        for index, ((material, locus), own) in enumerate(found.samples.groupby(["material", "locus"])):
            middle, shares = [], []
            for number, (low, high) in enumerate(SPANS):
                part = own[(own["day"] > low) & (own["day"] <= high)]
                if part["patient_id"].nunique() >= SMALLEST:
                    middle.append(number)
                    shares.append(np.quantile(part["top_share"], [0.25, 0.5, 0.75]))
            if middle:
                low, mid, high = np.array(shares).T
                x = np.array(middle) + 0.08 * index
                axes.errorbar(
                    x,
                    mid,
                    yerr=[mid - low, high - mid],
                    label=f"{material}, {locus}",
                    color=color_of(index),
                    marker="osD^vP"[index % 6],
                    markersize=4,
                    capsize=2,
                    lw=1,
                )
        axes.set_xticks(range(len(SPANS)), [span_text(*span) for span in SPANS], rotation=25, ha="right")
        axes.set(xlabel="days since infusion", ylabel="share of the largest clone")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="y", color=FAINT)
        legend_below(figure, axes, columns=1)
    return figure
