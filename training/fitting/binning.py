"""Follow-up in bins: what discrete-hazard models learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.fitting.event_intervals import EventIntervals, event_intervals, settled

SPREAD = 8
"""Days among which an event known to lie between two counts evenly where bins are cut."""
SMALLEST_HAZARD = 1e-4
"""From which base logits start: keeps causes that are rare in a bin finite."""


@dataclass(frozen=True, slots=True)
class BinnedOutcomes:
    """Outcomes on the bins of a discrete-hazard model."""

    at_risk: Tensor
    """(rows, bins): share of the bin spent under observation and known to be event-free; an event's bin counts as 1."""
    event: Tensor
    """(rows, causes, bins): 1 in the bin of the event, for its cause, if it is known to the day."""
    intervals: EventIntervals | None = None
    """Of events known to lie between two days; None: there are none."""

    def expected(self) -> BinnedOutcomes:
        """The same with events in intervals counting in parts, where they are likely."""
        if self.intervals is None:
            return self
        return BinnedOutcomes(self.at_risk + self.intervals.at_risk, self.intervals.expected(self.event))


def require_events(outcomes: Outcomes, kind: str) -> None:
    """Refuse patients from whom a model of this kind can learn nothing.

    Raises:
        SequelaError: There is no event of any cause.
    """
    if not (outcomes.cause > 0).any():
        found = f"{kind}: no event of any cause among the training patients"
        raise SequelaError(f"{found}; choose kind: aalen_johansen, or more patients")


def bin_edges(outcomes: Outcomes, n_bins: int, kind: str = "network") -> NDArray[np.float64]:
    """(bins + 1,): 0, quantiles of the times of events of any cause, and the last of them; `kind` of model.

    An event known to lie between two days counts evenly in between.

    Raises:
        SequelaError: There is no event.
    """
    require_events(outcomes, kind)
    times = outcomes.duration_days[outcomes.cause > 0]
    if outcomes.after_days is not None and outcomes.in_interval.any():
        after = np.where(outcomes.in_interval, outcomes.after_days, outcomes.duration_days)[outcomes.cause > 0]
        times = (times[:, None] - np.outer(times - after, np.arange(SPREAD) / SPREAD)).ravel()
    edges = np.unique(np.quantile(times, np.linspace(0, 1, n_bins + 1)[1:], method="higher"))
    return np.concatenate([[0.0], edges[edges > 0]])


def to_bins(outcomes: Outcomes, edges_days: NDArray[np.float64]) -> BinnedOutcomes:
    """Exposure and events by bin.

    A bin (start, end] holds the events up to and including its end. Who is censored, or enters, within a bin is at
    risk for the share of it that was observed: with a hazard constant in the bin, log P(no event) is that share of the
    bin's. Who has an event known to lie between two days is at risk until the first of them, as if censored there; what
    comes after is in `intervals`.
    """
    n_bins = len(edges_days) - 1
    last = outcomes.duration_days
    if outcomes.after_days is not None:
        last = np.where(outcomes.in_interval, outcomes.after_days, last)
    width = np.diff(edges_days)
    observed = np.clip((last[:, None] - edges_days[:-1]) / width, 0.0, 1.0)
    has_event = (outcomes.cause > 0) & ~outcomes.in_interval & (outcomes.duration_days <= edges_days[-1])
    rows = np.flatnonzero(has_event)
    bin_of = np.searchsorted(edges_days, outcomes.duration_days[rows], side="left") - 1
    bin_of = np.maximum(bin_of, 0)
    observed[rows, bin_of] = 1.0
    if outcomes.entry_days is not None:
        observed = np.clip(observed - np.clip((outcomes.entry_days[:, None] - edges_days[:-1]) / width, 0.0, 1.0), 0, 1)
        observed[rows, bin_of] = (
            1.0  # entry within the event's own bin: taken as at its start, or P(none) could reach 0
        )
    event = np.zeros((len(outcomes), len(outcomes.causes), n_bins))
    event[rows, outcomes.cause[rows] - 1, bin_of] = 1.0
    at_risk, events = (torch.as_tensor(values, dtype=torch.float32) for values in (observed, event))
    intervals = event_intervals(outcomes, edges_days)
    return BinnedOutcomes(at_risk, events, None if intervals is None else settled(intervals, at_risk, events))


def base_logits(binned: BinnedOutcomes, relative: Tensor | None = None) -> Tensor:
    """(causes, bins): log odds of each cause against none in each bin, of a patient with hazard ratios of 1.

    Events over exposure, each row's weighed by its hazard ratios, as in Breslow's estimate (1974); events between two
    days in parts, where they are likely.

    Args:
        binned: Outcomes of the rows.
        relative: Hazard ratios (rows, causes); absent: all 1.
    """
    binned = binned.expected()
    events, at_risk = binned.event.sum(dim=0), binned.at_risk.sum(dim=0)
    marginal = (events / at_risk.clamp(min=1.0)).clamp(min=SMALLEST_HAZARD)
    none = (1.0 - marginal.sum(dim=0)).clamp(min=0.02)
    if relative is None:
        return marginal.log() - none.log()
    exposure = torch.einsum("nj,nk->kj", binned.at_risk, relative) / at_risk.clamp(min=1.0)
    return marginal.log() - exposure.clamp(min=1e-6).log() - none.log()
