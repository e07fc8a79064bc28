"""What was found, in words."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.clones.followed import Followed
from experiments.page.drawing import listed
from experiments.page.privacy import Disclosure


def findings(found: Followed, shown: Disclosure) -> Iterator[str]:
    """How many were followed, and in how many a clone calls for a look."""
    rule = found.rule
    yield (
        f"Of {shown.count(found.n_patients)} patients with clones, {shown.count(found.n_followed)} have two samples or "
        f"more of one material; {found.compared:,} pairs of successive days were compared."
    )
    told = {
        why: found.warnings[found.warnings["why"].str.contains(why, regex=False)] for why in ("expands", "dominant")
    }
    if found.warnings.empty:
        yield "No clone calls for a closer look."
    for why, rows in told.items():
        if len(rows):
            large = (
                f"of at least {100 * rule.least_share:g} % is at least {rule.least_ratio:g} times as large as before"
                if why == "expands"
                else f"holds {100 * rule.dominant_share:g} % of a later sample or more"
            )
            yield f"In {shown.count(rows['patient_id'].nunique())} patients a clone {large} ({len(rows):,} times)."
    if found.same_day:
        yield (
            f"Of {found.same_day:,} pairs of samples of one day, in which nothing can have grown, the rule tells an "
            f"expansion in {found.same_day_told:,}: so often it is wrong by sampling and handling alone."
        )
    near = found.warnings[found.warnings["near_oncogene"] == 1]
    if found.warnings["near_oncogene"].notna().any():
        genes = [] if shown.guarded else sorted(set(near["gene"]) - {""})  # a gene may be one patient's
        yield f"Of these, {len(near):,} are near an oncogene{': ' if genes else ''}{listed(genes)}."
    else:
        yield "Whether they are near oncogenes is not known of these clones."


ASSUMED = (
    "A clone expands where Fisher's exact test says so, with the false discovery rate controlled at 5 % within two "
    "samples, and the exact interval of the ratio of shares lies above 1. That speaks of counting alone. Contraction "
    "of the others makes a share grow without growth. The sizes that call for a look are conventions, shown by nobody "
    "to predict malignancy: look again, at the same clone, in a new sample."
)
