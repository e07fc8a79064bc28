"""What of strategies is not shown of real patients, since a small count would follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.estimate_lines import Line
from experiments.page.privacy import Disclosure
from experiments.strategies.analysis import Strategies


@dataclass(frozen=True, slots=True)
class Withheld:
    """Strategies under which a small count of clones had an event, and what was seen of few."""

    causes: frozenset[tuple[str, str]]
    """(cause, strategy); the natural course among them."""
    seen: frozenset[str]
    """Causes that few had without treatment, or with it."""

    @classmethod
    def of(cls, found: Strategies, shown: Disclosure) -> Withheld:
        """Those of a comparison; none if nothing is guarded."""
        question = found.question
        names = question.outcomes.causes
        followed = question.trial.followed
        within = followed.cause[followed.end_day <= followed.n_days]
        everyone = np.bincount(within, minlength=len(names) + 1)[1:]
        counts = [(strategy, one.events) for strategy, one in zip(question.names, found.clones, strict=True)]
        counts.append((question.natural, everyone))
        small = {
            (cause, strategy)
            for strategy, events in counts
            for cause, n in zip(names, events, strict=True)
            if shown.small(int(n))
        }
        seen = {
            cause
            for cause, own in zip(names, found.seen.events.T, strict=True)
            if any(shown.small(int(n)) for n in own)
        }
        return cls(frozenset(small), frozenset(seen))

    @property
    def strategies(self) -> frozenset[str]:
        """Of whom some cause is withheld."""
        return frozenset(strategy for _, strategy in self.causes)

    def line(self, line: Line) -> bool:
        """Whether an estimate is withheld: of a strategy of these, or against one."""
        return any((line.cause, strategy) in self.causes for strategy in (line.arm, line.reference))
