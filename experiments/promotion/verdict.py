"""What a gate says about a model: one line for each check, and whether it may serve."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from training.evaluation.intervals import Interval

Status = Literal["passed", "failed", "not applicable"]
Part = Literal["metrics", "calibration", "example", "leaks", "cohort", "subgroups", "champion"]
NOTHING = Interval(float("nan"), float("nan"), float("nan"))
SAID_OF_FAILURES = 3
"""Failed checks that an error names; the table holds all."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a gate."""

    part: Part
    """Of the gate."""
    name: str
    """What was looked at, e.g. ``ipa from day 0``."""
    status: Status
    rule: str
    """What has to hold."""
    value: Interval = NOTHING
    """What was found; NaN where it is no number."""
    remark: str = ""
    """Why it failed or does not apply, and what to do."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for NaN."""
        value = {key: number if isfinite(number) else None for key, number in asdict(self.value).items()}
        about = {"part": self.part, "name": self.name, "status": self.status, "rule": self.rule}
        return about | value | {"remark": self.remark}


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of a gate."""

    gate: str
    checks: tuple[Check, ...]
    compared_with: str | None
    """Version of the champion at the time; None where there was none."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that refuse the model."""
        return tuple(check for check in self.checks if check.status == "failed")

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something was found right: what does not apply shows nothing."""
        return not self.failed and any(check.status == "passed" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "gate": self.gate,
            "passed": self.passed,
            "compared_with_version": self.compared_with,
            "checks": [check.as_dict() for check in self.checks],
        }

    def summary(self) -> str:
        """JSON for a tag: the gate, whether it was passed, and the names of what failed and what did not apply."""
        names = {s: [check.name for check in self.checks if check.status == s] for s in ("failed", "not applicable")}
        n_passed = sum(check.status == "passed" for check in self.checks)
        return json.dumps({"gate": self.gate, "passed": self.passed, "n_passed": n_passed} | names)

    def complaint(self) -> str:
        """Why the model may not serve, in one line."""
        if not self.failed:
            return "no check of the gate applies"
        shown = "; ".join(check.name for check in self.failed[:SAID_OF_FAILURES])
        more = len(self.failed) - SAID_OF_FAILURES
        return f"failed {shown}" + (f" and {more} more" if more > 0 else "")
