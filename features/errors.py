"""Errors and findings: everything Sequela says about bad input.

SequelaError            a message for the user: place, value, rule, remedy; no traceback is shown
└── CohortError         a cohort folder that cannot be used; carries its findings
└── InputError          one request that cannot be answered; carries the field
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Literal

Severity = Literal["error", "warning"]


class SequelaError(Exception):
    """A failure explained to the user in one line: place, value, rule, remedy."""


def nearest_or_all(name: str, known: Collection[str]) -> str:
    """The remedy for a name that is none of the known ones: the nearest of them, or all."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"


class InputError(SequelaError):
    """A prediction request that cannot be answered.

    Args:
        field: Where in the request the fault lies, e.g. ``patients[3].baseline.ferritin``.
        rule: What holds for that field. Never contains the value: it may be a patient's.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or odd, in a cohort folder."""

    code: str
    """Stable name of the rule, e.g. ``duplicate-patient``."""
    severity: Severity
    file: str
    row: int | None
    """Row of the table as a spreadsheet counts it (the header is row 1); None for the whole file."""
    field: str | None
    value: str | None
    rule: str
    remedy: str

    def __str__(self) -> str:
        place = self.file
        if self.row is not None:
            place += f" row {self.row}"
        if self.field is not None:
            place += f": {self.field}"
        if self.value is not None:
            place += f" = {self.value}"
        return f"{self.severity} [{self.code}] {place}; {self.rule} {self.remedy}"

    def as_dict(self) -> dict[str, str | int | None]:
        """The finding as plain JSON values."""
        return asdict(self)


class CohortError(SequelaError):
    """A cohort folder with at least one finding of severity ``error``."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [finding for finding in findings if finding.severity == "error"]
        super().__init__("\n".join(str(finding) for finding in errors))
