"""What of a benefit–risk analysis is not shown of real patients, since a small count would follow from it."""

from __future__ import annotations

from experiments.benefit_risk.analysis import BenefitRisk, Group
from experiments.page.privacy import Disclosure


def withheld(found: BenefitRisk, shown: Disclosure) -> frozenset[str]:
    """Names of groups of which nothing is shown.

    Those with a state that few of their patients were ever in: probabilities sum to 1 and days to the horizon, so that
    what is left out of one state would follow from the others. Of a single group besides everyone the rest would.
    """
    small = {group.name for group in (found.everyone, *found.groups) if few(group, shown)}
    whole = found.everyone.name
    if len(small - {whole}) == 1 and whole not in small:
        left = [group.name for group in found.groups if group.name not in small]
        sizes = {group.name: len(group.histories) for group in found.groups}
        small.add(min(left, key=lambda name: sizes[name]))
    return frozenset(small)


def few(group: Group, shown: Disclosure) -> bool:
    """Whether a state was met by a small count of patients of a group."""
    return any(shown.small(int(n)) for n in group.histories.ever().sum(axis=0))
