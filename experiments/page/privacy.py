"""What may be shown of whom: small counts of real patients, and lines of single ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.cohort import Cohort
from features.patients import IntArray

SMALLEST = 5
"""Counts of real patients below this are not shown; a common rule of offices of statistics and of health registries."""
WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Whether small counts are withheld, and lines of single patients are drawn."""

    guarded: bool
    """Real patients: counts from 1 to `SMALLEST` − 1 are not shown."""
    individual_lines: bool

    @classmethod
    def of(cls, cohort: Cohort, *, individual_lines: bool | None = None) -> Disclosure:
        """Simulated patients have nothing to hide; lines of real ones are drawn only when asked for."""
        real = cohort.card.provenance == "real"
        return cls(real, not real if individual_lines is None else individual_lines)

    def small(self, count: int) -> bool:
        """Whether a count is withheld."""
        return self.guarded and 0 < count < SMALLEST

    def count(self, count: int) -> str:
        """A count of patients in words."""
        return f"<{SMALLEST}" if self.small(count) else f"{count:,}"

    def parts(self, counts: Sequence[int], kept: int | None = None) -> list[str]:
        """Counts whose sum is known, in words.

        Where one alone is small it would follow from the others, so that the next smallest one is withheld, too
        (complementary suppression; Hundepool et al., Statistical Disclosure Control, Wiley 2012).

        Args:
            counts: How many.
            kept: Place of the count that is withheld only if no other one helps.
        """
        shown = [self.count(n) for n in counts]
        rest = sorted((i == kept, n, i) for i, n in enumerate(counts) if n >= SMALLEST)
        if sum(map(self.small, counts)) == 1 and rest:
            shown[rest[0][2]] = WITHHELD
        return shown

    def table(self, counts: IntArray) -> list[list[str]]:
        """Counts (rows, columns) in words, where the sums of rows and of columns may be known.

        As in `parts`, in every row and every column: one that would hold a single withheld count gets a second.
        """
        hidden = (counts > 0) & (counts < SMALLEST) & self.guarded
        small = hidden.copy()
        while (line := self._line_with_one(counts, hidden)) is not None:
            hidden[line] = True
        return [
            [self.count(int(n)) if not hide or own else WITHHELD for n, hide, own in zip(*row, strict=True)]
            for row in zip(counts, hidden, small, strict=True)
        ]

    @staticmethod
    def _line_with_one(counts: IntArray, hidden: NDArray[np.bool_]) -> tuple[int, int] | None:
        """Place of the smallest count to withhold beside a single withheld one of its row or column; None: all is well.

        Nothing helps a line whose other counts are all 0: its sum is the small count.
        """
        for axis in (0, 1):
            single = hidden.sum(axis=axis) == 1
            open_to = np.where(hidden | (counts == 0), np.iinfo(np.int64).max, counts)
            for line in np.flatnonzero(single):
                others = open_to[:, line] if axis == 0 else open_to[line]
                least = int(others.argmin())
                if others[least] < np.iinfo(np.int64).max:
                    return (least, int(line)) if axis == 0 else (int(line), least)
        return None

    def text(self, text: str, cohort: Cohort) -> str:
        """A text of the cohort's authors, unless it names real patients or samples, or gives the number of one."""
        words = set(re.findall(r"[\w.-]+", text)) | set(re.findall(r"\w+", text))
        ids = {*cohort.patients["patient_id"], *cohort.samples["sample_id"]}
        named = words & (ids | {number[0] for name in ids if (number := re.search(r"\d\d+$", name))})
        return (
            "Left out here, since they name patients or samples; see cohort.yaml." if named and self.guarded else text
        )

    def share(self, count: int, total: int) -> float:
        """A share for a picture, NaN of nobody; counts of 1 to 4, and all but 1 to 4, are moved to 5 from that end."""
        if total == 0:
            return float("nan")
        if self.small(count):
            count = min(SMALLEST, total)
        elif self.small(total - count):
            count = max(total - SMALLEST, 0)
        return count / total


OPEN = Disclosure(guarded=False, individual_lines=True)
"""For the researcher's own eyes: terminals and `--json` withhold nothing."""
