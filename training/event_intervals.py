"""Events known to lie between two days, in the likelihood of discrete hazards.

Who was free of the event of cause k on day L and was found to have had it on day R adds F_k(R | x) − F_k(L | x) to the
likelihood, with F_k the cumulative incidence (Hudgens, Li & Fine, Biometrics 2014;70:1–9), over the probability of being
event-free at entry. F_k is that of `training.models.bins.interpolate`: the hazard is constant within a bin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.outcomes import Outcomes

LEAST_HAZARD = 1e-6
"""Of any cause in a bin: below, single precision cannot tell the probability of none from 1."""


class EventIntervals(NamedTuple):
    """Where in the bins the intervals of rows lie; the bins before them are in `BinnedOutcomes.at_risk`."""

    cause: Tensor
    """(rows,): cause of the event; 0 of rows that are not in an interval."""
    share: Tensor
    """(rows, bins): share of the bin that lies in the interval."""
    evenly: Tensor
    """(rows, bins): probability of each bin, did the event fall evenly in its interval."""

    def take(self, rows: Tensor) -> EventIntervals:
        """Some of the rows."""
        return EventIntervals(*(value[rows] for value in self))

    @property
    def at_risk(self) -> Tensor:
        """(rows, bins): expected share of the bin spent at risk in the interval, did the event fall evenly in it.

        As of events known to the day, the bin of the event counts whole, as far as it is in the interval.
        """
        return self.share * (1.0 - (self.evenly.cumsum(dim=1) - self.evenly))


def event_intervals(outcomes: Outcomes, edges_days: NDArray[np.float64]) -> EventIntervals | None:
    """The intervals on bins; None where there are none.

    An interval that goes on after the last bin tells no more than that its row was free until it began.
    """
    if outcomes.after_days is None or not outcomes.in_interval.any():
        return None
    end = outcomes.duration_days[:, None]
    told = outcomes.in_interval & (outcomes.duration_days <= edges_days[-1])
    start = np.where(told, outcomes.after_days, outcomes.duration_days)[:, None]
    inside = np.minimum(end, edges_days[1:]) - np.maximum(start, edges_days[:-1])
    inside = np.maximum(inside, 0.0)
    evenly = np.divide(inside, end - start, out=np.zeros_like(inside), where=told[:, None])
    return EventIntervals(
        torch.as_tensor(np.where(told, outcomes.cause, 0), dtype=torch.long),
        torch.as_tensor(inside / np.diff(edges_days), dtype=torch.float32),
        torch.as_tensor(evenly, dtype=torch.float32),
    )


def log_within(log_cause: Tensor, log_none: Tensor, intervals: EventIntervals) -> Tensor:
    """(members, rows): log probability of the event in its interval, given free where it begins; 0 of other rows.

    log Σ_j S(start of bin j | free at L) · h_k(j) · (1 − P(none)^share) / (1 − P(none)): the last factor is 1 where a
    whole bin is inside, so that an interval of one bin is the event in that bin.

    Args:
        log_cause: (members, rows, causes, bins): log probability of each cause in a bin.
        log_none: (members, rows, bins): of none.
        intervals: Of the same rows.
    """
    found = log_none.new_zeros(log_none.shape[:2])
    rows = intervals.cause.nonzero()[:, 0]
    share, own = intervals.share[rows], log_cause[:, rows, intervals.cause[rows] - 1]
    none = log_none[:, rows].clamp(max=-LEAST_HAZARD)
    stays = share * none
    before = stays.cumsum(dim=-1) - stays
    inside = torch.where(share > 0, share, 1.0)  # the others are left out below; log 0 has no gradient
    part = torch.log(-torch.expm1(inside * none)) - torch.log(-torch.expm1(none))
    by_bin = (before + own + part).masked_fill(share == 0, -torch.inf)
    found[:, rows] = torch.logsumexp(by_bin, dim=-1)
    return found


def log_within_by_cause(log_stays: Tensor, intervals: EventIntervals) -> Tensor:
    """(members, rows, causes): what each cause's hazards say of the intervals, given free where they begin.

    The likelihood of an interval does not fall into one factor a cause, as that of a day does: all causes say where in it
    the event may lie. A cause is to be stopped by its own hazards alone, or the score of one would move with another's.
    So the cause of the event is scored by log[1 − Π_j (1 − h_k)^share], its own hazard somewhere in the interval, and the
    others by being at risk for as long as they would have been in the mean, had the event fallen evenly in it. An
    interval of one bin is, for every cause, the event in that bin.

    Args:
        log_stays: (members, rows, causes, bins): log(1 − h_k).
        intervals: Of the same rows.
    """
    rows = intervals.cause.nonzero()[:, 0]
    found = log_stays.new_zeros(log_stays.shape[:3])
    found[:, rows] = torch.einsum("mnkj,nj->mnk", log_stays[:, rows], intervals.at_risk[rows])
    cause = intervals.cause[rows] - 1
    stays = (log_stays[:, rows, cause] * intervals.share[rows]).sum(dim=-1).clamp(max=-LEAST_HAZARD)
    found[:, rows, cause] = torch.log(-torch.expm1(stays))
    return found
