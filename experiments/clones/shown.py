"""What was found, in the terminal and as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.table import Table

from experiments.cli.output import stdout, table_of
from experiments.clones.followed import Followed
from experiments.clones.near import courses
from experiments.clones.near_told import COLUMNS, lines
from experiments.clones.sentences import ASSUMED, findings
from experiments.interval_text import interval_text
from experiments.page.privacy import OPEN
from features.errors import SequelaError
from features.files import written_beside

MOST_SHOWN = 30


def print_clones(found: Followed) -> None:
    """Warnings, the largest clones first, and what was found in words."""
    card = found.cohort.card
    stdout.print(f"Clones over time: {card.title} ({card.provenance} patients)", highlight=False, markup=False)
    if len(found.warnings):
        stdout.print(_table(found))
    if rows := lines(courses(found), OPEN):
        stdout.print(table_of("Sites near oncogenes over time", COLUMNS[:3], COLUMNS[3:], rows))
    for sentence in (*findings(found, OPEN), ASSUMED):
        stdout.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _table(found: Followed) -> Table:
    numbers = ("days", "share before %", "share %", "ratio", "q")
    table = table_of("Clones that call for a closer look", ("patient", "material", "clone", "why", "oncogene"), numbers)
    for _, one in found.warnings.head(MOST_SHOWN).iterrows():
        unseen = f"above {one.ratio_low:.1f}"  # it was not there before
        ratio = unseen if one.share_before == 0 else interval_text(one.ratio, one.ratio_low, one.ratio_high, digits=1)
        first = np.isnan(one.day_before)
        near = {1.0: one.gene or "near", 0.0: "not near"}.get(one.near_oncogene, "not known")
        shares = "–" if first else f"{100 * one.share_before:.1f}", f"{100 * one.share:.1f}"
        days = f"{one.day:g}" if first else f"{one.day_before:g} → {one.day:g}"
        q = "–" if first else f"{one.q:.2g}"
        table.add_row(one.patient_id, one.material, one.clone, one.why, near, days, *shares, ratio, q)
    return table


def write_csv(path: Path, found: Followed) -> None:
    """Every warning, beside, then renamed.

    Raises:
        SequelaError: It cannot be written.
    """
    try:
        with written_beside(path) as beside:
            found.warnings.to_csv(beside, index=False)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror}); choose a file in a folder that exists and is yours"
        raise SequelaError(msg) from error
