"""The collector of findings: all of them at once, few of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.errors import Finding, Severity

MOST = 20
"""Findings of one code in one file that are listed one by one; the rest are counted in one more."""
_LONGEST_VALUE = 80


class Findings:
    """Findings in the order of discovery."""

    def __init__(self) -> None:
        self._listed: list[Finding] = []
        self._count: Counter[tuple[str, Severity, str]] = Counter()
        self._remedy: dict[tuple[str, Severity, str], str] = {}

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(finding.severity == "error" for finding in self._listed)

    def add(
        self,
        code: str,
        file: str,
        rule: str,
        remedy: str,
        *,
        row: int | None = None,
        field: str | None = None,
        value: object = None,
        severity: Severity = "error",
    ) -> None:
        """Add one finding, listed while there are few of its code in its file."""
        kind = (code, severity, file)
        self._count[kind] += 1
        if self._count[kind] <= MOST:
            shown = None if value is None else shorten(str(value))
            self._listed.append(Finding(code, severity, file, row, field, shown, rule, remedy))
            self._remedy[kind] = remedy

    def add_rows(
        self,
        code: str,
        file: str,
        rows: NDArray[np.int64],
        values: Sequence[object] | NDArray[np.object_] | None,
        rule: str,
        remedy: str,
        *,
        field: str,
        severity: Severity = "error",
    ) -> None:
        """Add one finding for each of `rows` (as a spreadsheet counts them), with its value."""
        for i in range(min(len(rows), MOST)):
            value = None if values is None else values[i]
            self.add(code, file, rule, remedy, row=int(rows[i]), field=field, value=value, severity=severity)
        self._count[code, severity, file] += max(0, len(rows) - MOST)

    def all(self) -> tuple[Finding, ...]:
        """Every finding, errors first; each code that was cut short ends with the number left out."""
        summaries = [
            Finding(code, severity, file, None, None, None, f"and {n - MOST:,} more like these.", self._remedy[kind])
            for kind, n in self._count.items()
            if n > MOST
            for code, severity, file in [kind]
        ]
        return tuple(sorted((*self._listed, *summaries), key=lambda finding: finding.severity))


def shorten(text: str) -> str:
    """One line of at most 80 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else f"{line[: _LONGEST_VALUE - 1]}…"
