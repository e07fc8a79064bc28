"""The collector of findings: all of them at once, few of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from features.check.catalogue import RULES
from features.errors import Finding, Severity

MOST = 20
"""Findings of one code in one file that are listed one by one; the rest are counted in one more."""
_LONGEST_VALUE = 80


class Findings:
    """Findings in the order of discovery, each described by the catalogue of rules."""

    def __init__(self) -> None:
        self._listed: list[Finding] = []
        self._count: Counter[tuple[str, Severity, str]] = Counter()

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(finding.severity == "error" for finding in self._listed)

    def add(
        self,
        code: str,
        file: str,
        *,
        row: int | None = None,
        field: str | None = None,
        value: object = None,
        severity: Severity | None = None,
        **details: object,
    ) -> None:
        """Add one finding, listed while there are few of its code in its file.

        Args:
            code: A key of `RULES`.
            file: Name of the file within the folder.
            row: Row as a spreadsheet counts it; None for the whole file.
            field: Column or key.
            value: What was found there.
            severity: Where it differs from that of the rule.
            details: What fills the braces of rule and remedy; a function is called only if the finding is listed.
        """
        rule = RULES[code]
        kind = (code, severity or rule.severity, file)
        self._count[kind] += 1
        if self._count[kind] <= MOST:
            shown = None if value is None else shorten(str(value))
            words = {name: detail() if callable(detail) else detail for name, detail in details.items()}
            texts = (rule.rule.format(**words), rule.remedy.format(**words))
            self._listed.append(Finding(code, kind[1], file, row, field, shown, *texts))

    def add_rows(
        self,
        code: str,
        file: str,
        rows: NDArray[np.int64],
        values: Sequence[object] | NDArray[np.generic] | None = None,
        *,
        field: str,
        severity: Severity | None = None,
        **details: object,
    ) -> None:
        """Add one finding for each of `rows` (as a spreadsheet counts them), with the value of each."""
        for i, row in enumerate(rows[:MOST]):
            value = None if values is None else values[i]
            shown = f"{value:.10g}" if isinstance(value, float) else value
            self.add(code, file, row=int(row), field=field, value=shown, severity=severity, **details)
        self._count[code, severity or RULES[code].severity, file] += max(0, len(rows) - MOST)

    def all(self) -> tuple[Finding, ...]:
        """Every finding, errors first; a code that was cut short ends with the number left out."""
        rest = [
            Finding(code, severity, file, None, None, None, f"And {n - MOST:,} more like these.", "See those listed.")
            for (code, severity, file), n in self._count.items()
            if n > MOST
        ]
        return tuple(sorted((*self._listed, *rest), key=lambda finding: finding.severity))


def shorten(text: str) -> str:
    """One line of at most 80 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else f"{line[: _LONGEST_VALUE - 1]}…"


def did_you_mean(word: str, valid: Sequence[str]) -> str:
    """``Did you mean x? `` for the valid word nearest to this one, or nothing."""
    found = get_close_matches(word, valid, n=1)
    return f"Did you mean {found[0]}? " if found else ""
