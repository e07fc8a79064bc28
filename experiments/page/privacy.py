"""What may be shown of whom: small counts of real patients, and lines of single ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from features.cohort import Cohort

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

    def parts(self, counts: Sequence[int]) -> list[str]:
        """Counts whose sum is known, in words.

        Where one alone is small it would follow from the others, so that the next smallest one is withheld, too
        (complementary suppression; Hundepool et al., Statistical Disclosure Control, Wiley 2012).
        """
        shown = [self.count(n) for n in counts]
        rest = sorted((n, i) for i, n in enumerate(counts) if n >= SMALLEST)
        if sum(map(self.small, counts)) == 1 and rest:
            shown[rest[0][1]] = WITHHELD
        return shown

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
