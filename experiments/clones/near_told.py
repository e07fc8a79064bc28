"""Sites near oncogenes, in words and as the lines of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from experiments.clones.followed import Followed
from experiments.clones.near import MEASURED_SITES, Course, courses, near_among_told, span_text
from experiments.interval_text import interval_text
from experiments.page.drawing import listed
from experiments.page.privacy import Disclosure
from training.evaluation.intervals import Interval

ENOUGH = 20
"""Patients, for a change to be judged: percentile intervals of fewer are too narrow."""
COLUMNS = ("Share of", "Material", "Days", "Patients", "Near an oncogene, %", "With the product", "Change, points")


def near_findings(found: Followed, shown: Disclosure) -> Iterator[str]:
    """Which clones that call for a look are near oncogenes, and whether such sites become more after infusion."""
    genes = found.oncogenes
    if genes is not None and genes.unplaced:
        unplaced = f"{len(genes.unplaced):,} have no known place: {listed(genes.unplaced)}"
        yield f"Of the symbols of {genes.source}, {unplaced}."
    yield from _among_told(found, shown)
    rows = courses(found)
    enough = [row for row in rows if row.span is None and row.paired >= ENOUGH]
    for row in enough:
        yield _change(row, shown)
    if rows and not enough:
        yield f"No material of {ENOUGH} patients is there after infusion and in the product: no change is judged."


def lines(rows: Sequence[Course], shown: Disclosure) -> list[tuple[str, ...]]:
    """Of a table with `COLUMNS`."""
    return [
        (
            row.of,
            row.material,
            "all" if row.span is None else span_text(*row.span),
            f"{row.patients:,}",
            _percent(row.share, _digits(row)),
            shown.parts([row.paired, row.patients - row.paired])[0] if np.isfinite(row.change.point) else "–",
            _percent(row.change, _digits(row)),
        )
        for row in rows
    ]


def _among_told(found: Followed, shown: Disclosure) -> Iterator[str]:
    told = near_among_told(found)
    if told is None:
        if len(found.warnings):
            by_places = "--oncogenes bundled, or a list of yours, tells it by their places"
            no_places = "names of sites of integration say where they are (chr4+105272458)"
            remedy = by_places if found.oncogenes is None else no_places
            yield f"Whether they are near oncogenes is not known of these clones; {remedy}."
        return
    by = "the cohort" if found.oncogenes is None else found.oncogenes.source
    others = told.patients - told.near_patients
    own = shown.parts([told.near_patients, others])[0]
    names = [] if shown.guarded else sorted(set(found.warnings["gene"]) - {""})  # a gene may be one patient's
    yield (
        f"Of {shown.count(told.patients)} patients with such clones of known place, {own} have one near an oncogene of "
        f"{by}{': ' if names else ''}{listed(names)}."
    )
    small = any(map(shown.small, (told.near_patients, others, told.patients)))
    if not small and np.isfinite(told.ratio.low):
        times = interval_text(told.ratio.point, told.ratio.low, told.ratio.high, digits=2)
        excess = _against(told.ratio, 1, "more than these", "fewer than these", "no difference is shown from these")
        verdict = excess if told.patients >= ENOUGH else f"fewer than {ENOUGH} patients, too few to judge it by"
        yield (
            f"{told.near:,} of {told.clones:,} such clones are near one, "
            f"{times} times as many as if drawn from all sites of the same patients: {verdict}."
        )


def _change(row: Course, shown: Disclosure) -> str:
    of = "sites" if row.of == MEASURED_SITES else row.of
    by = ", as the cohort measured them" if row.of == MEASURED_SITES else ""
    paired = shown.parts([row.paired, row.patients - row.paired])[0]
    verdict = _against(row.change, 0, "more than before", "fewer than before", "that no change is shown")
    digits = _digits(row)
    return (
        f"Of {of} in {row.material} after infusion{by}, {_percent(row.share, digits)} % are near an oncogene in "
        f"{row.patients:,} patients: {_percent(row.change, digits)} points from the infusion product, in the {paired} "
        f"who have it, so {verdict}."
    )


def _against(found: Interval, null: float, more: str, less: str, neither: str) -> str:
    return more if found.low > null else less if found.high < null else neither


def _digits(row: Course) -> int:
    """Behind the point: two where few sites are near an oncogene."""
    return 1 if row.share.point >= 0.02 else 2


def _percent(share: Interval, digits: int) -> str:
    return interval_text(100 * share.point, 100 * share.low, 100 * share.high, digits=digits)
