"""What was found, in words."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from experiments.clones.followed import KEYS, Followed
from experiments.clones.near_told import near_findings
from experiments.page.privacy import Disclosure


def findings(found: Followed, shown: Disclosure) -> Iterator[str]:
    """How many were followed, and in how many a clone calls for a look; what few patients have is not counted."""
    for locus in found.left_out:
        yield (
            f"Warning: clones of locus {locus} are left out: their abundances are fractions, and tests of counts need "
            f"cells or distinct fragments."
        )
    followed = shown.parts([found.n_followed, found.n_patients - found.n_followed])[0]
    pairs = f"; {found.compared:,} pairs of an earlier and a later sample were compared"
    yield (
        f"Of {shown.count(found.n_patients)} patients with clones, {followed} have two samples or more of one "
        f"material{'' if shown.small(found.n_followed) else pairs}."
    )
    if found.warnings.empty:
        yield "No clone calls for a closer look."
    yield from _told(found, shown)
    if len(found.same_day):
        yield _same_day(found.same_day, found.same_day_told, shown)
    yield from near_findings(found, shown)


def _told(found: Followed, shown: Disclosure) -> Iterator[str]:
    least, ratio = f"{100 * found.rule.least_share:g} %", f"{found.rule.least_ratio:g} times"
    large = {
        "expands": (f"of at least {least} is at least {ratio} as large as before", found.n_followed),
        "dominant": (f"holds {100 * found.rule.dominant_share:g} % of a sample or more", found.n_patients),
    }
    for why, (words, of) in large.items():
        rows = found.warnings[found.warnings["why"].str.contains(why, regex=False)]
        if len(rows):
            patients = rows["patient_id"].nunique()
            counted = shown.parts([patients, of - patients])[0]
            times = f" ({rows.groupby([*KEYS, 'clone']).ngroups:,} clones, {len(rows):,} times)"
            yield f"In {counted} patients a clone {words}{times if counted == f'{patients:,}' else ''}."


def _same_day(pairs: pd.Series, told: pd.Series, shown: Disclosure) -> str:
    """How often the rule is wrong where nothing can have grown."""
    if shown.small(len(pairs)):
        few = shown.count(len(pairs))
        return f"In {few} patients the rule could be tried on two samples of one day: too few for its rate of errors."
    wrong = shown.parts([len(told), len(pairs) - len(told)])[0]
    times = f" ({told.sum():,} times)" if wrong == f"{len(told):,}" else ""
    return (
        f"{len(pairs):,} patients have {pairs.sum():,} pairs of samples of one day, in which nothing can have grown; "
        f"in {wrong} of them the rule tells an expansion{times}: so often it is wrong by sampling and handling alone."
    )


ASSUMED = (
    "A clone expands where Fisher's exact test says so against an earlier sample, with the false discovery rate "
    "controlled at 5 % over all clones and earlier samples, and the exact interval of the ratio of shares lies above "
    "1; the days between the first and the last one before count only where that interval reaches the ratio asked "
    "for. That speaks of counting alone: the more samples, the more chances to be wrong. Contraction of the others "
    "makes a share grow without growth. The sizes that call for a look are conventions, shown by nobody to predict "
    "malignancy: look again, at the same clone, in a new sample."
)
