"""What of a comparison is not shown of real patients, since a small count would follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.effects.analysis import Effects
from experiments.estimate_lines import Line
from experiments.page.privacy import Disclosure


@dataclass(frozen=True, slots=True)
class Withheld:
    """Arms with a small count of patients who had an event: their estimates, times their size, would tell it."""

    causes: frozenset[tuple[str, str]]
    """(cause, arm)."""
    counted: frozenset[str]
    """Arms, of the events that come back."""
    groups: frozenset[tuple[str, str]]
    """(group, arm), of the event of interest."""

    @classmethod
    def of(cls, effects: Effects, shown: Disclosure) -> Withheld:
        """Those of a comparison; none if nothing is guarded."""
        question = effects.question
        arms, groups, counted = question.arms, question.groups, question.counted
        happens = [(one.cause, arms.outcomes.cause == k) for k, one in enumerate(effects.causes, start=1)]
        own = [(name, arms.arm == k) for k, name in enumerate(arms.names)]
        parts = [] if groups is None else [(name, groups.group == k) for k, name in enumerate(groups.names)]
        causes = {(cause, arm) for cause, had in happens for arm, rows in own if shown.small(int((had & rows).sum()))}
        within = {
            (group, arm)
            for group, members in parts
            for arm, rows in own
            if shown.small(int((happens[0][1] & rows & members).sum()))
        }
        again: set[str] = set()
        if counted is not None:
            patients = np.bincount(counted.arm[np.unique(counted.recurrences.row)], minlength=len(arms.names))
            again = {name for name, n in zip(arms.names, patients, strict=True) if shown.small(int(n))}
        return cls(frozenset(causes), frozenset(again), frozenset(within))

    def line(self, line: Line) -> bool:
        """Whether an estimate is withheld: of an arm of these, or against one."""
        if line.quantity.startswith(("mean number", "rate ratio")):
            return not self.counted.isdisjoint((line.arm, line.reference))
        return any((line.cause, arm) in self.causes for arm in (line.arm, line.reference))

    def group(self, group: str, line: Line) -> bool:
        """Whether an estimate in a group is withheld."""
        return any((group, arm) in self.groups for arm in (line.arm, line.reference)) or self.line(line)
