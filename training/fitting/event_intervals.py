"""Events known to lie between two days, in the likelihood of discrete hazards.

Who was free of the event of cause k on day L, and was found to have had it on day R, contributes F_k(R) − F_k(L) to the
likelihood, with F_k his cumulative incidence (Hudgens, Li & Fine, Biometrics 2014;70:1–9), over the probability of
being event-free at entry. F_k is that of `training.models.bins.interpolate`: the hazard is constant within a bin.
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


ROUNDS = 10
"""In which hazards and the places of events in their intervals are fitted to one another, before training."""


class EventIntervals(NamedTuple):
    """Where in the bins the intervals of rows lie; the bins before them are in `BinnedOutcomes.at_risk`."""

    cause: Tensor
    """(rows,): cause of the event; 0 of rows that are not in an interval."""
    share: Tensor
    """(rows, bins): share of the bin that lies in the interval."""
    likely: Tensor
    """(rows, bins): probability of each bin under hazards that are the same for everyone; see `settled`."""

    def take(self, rows: Tensor) -> EventIntervals:
        """Some of the rows."""
        return EventIntervals(*(value[rows] for value in self))

    @property
    def at_risk(self) -> Tensor:
        """(rows, bins): expected share of the bin spent at risk in the interval.

        As of events known to the day, the bin of the event counts whole, as far as it is in the interval.
        """
        return self.share * (1.0 - (self.likely.cumsum(dim=1) - self.likely))

    def expected(self, event: Tensor) -> Tensor:
        """Events (rows, causes, bins), those in intervals counting in parts."""
        rows = self.cause.nonzero()[:, 0]
        event = event.clone()
        event[rows, self.cause[rows] - 1] = self.likely[rows]
        return event


def event_intervals(outcomes: Outcomes, edges_days: NDArray[np.float64]) -> EventIntervals | None:
    """The intervals on bins, an event being as likely on one day of its interval as on another; None: there are none.

    An interval that goes on after the last bin tells no more than that its row was free until it began.
    """
    if outcomes.after_days is None or not outcomes.in_interval.any():
        return None
    end = outcomes.duration_days[:, None]
    told = outcomes.in_interval & (outcomes.duration_days <= edges_days[-1])
    start = np.where(told, outcomes.after_days, outcomes.duration_days)[:, None]
    inside = np.maximum(np.minimum(end, edges_days[1:]) - np.maximum(start, edges_days[:-1]), 0.0)
    likely = np.divide(inside, end - start, out=np.zeros_like(inside), where=told[:, None])
    return EventIntervals(
        torch.as_tensor(np.where(told, outcomes.cause, 0), dtype=torch.long),
        torch.as_tensor(inside / np.diff(edges_days), dtype=torch.float32),
        torch.as_tensor(likely, dtype=torch.float32),
    )


def settled(intervals: EventIntervals, at_risk: Tensor, event: Tensor) -> EventIntervals:
    """The same, each event being as likely in a bin of its interval as hazards say that are the same for everyone.

    Expected events over expected exposure give hazards, and these say where in their intervals events are to be
    expected (Turnbull, J R Stat Soc B 1976;38:290): only `ROUNDS` times, since in the end a few steep steps come of it.

    Args:
        intervals: Of all rows.
        at_risk: (rows, bins), without the intervals.
        event: (rows, causes, bins), without those in intervals.
    """
    rows = intervals.cause.nonzero()[:, 0]
    for _ in range(ROUNDS):
        exposure = (at_risk + intervals.at_risk).sum(dim=0)
        hazard = (intervals.expected(event).sum(dim=0) / exposure.clamp(min=1.0)).clamp(min=LEAST_HAZARD)
        none = torch.log((1.0 - hazard.sum(dim=0)).clamp(min=LEAST_HAZARD))
        log_cause = hazard.log()[None, None].expand(1, len(event), -1, -1)
        by_bin = _log_by_bin(log_cause, none[None, None].expand(1, len(event), -1), intervals, rows)[0]
        likely = intervals.likely.clone()
        likely[rows] = by_bin.softmax(dim=-1)
        intervals = intervals._replace(likely=likely)
    return intervals


def log_within(log_cause: Tensor, log_none: Tensor, intervals: EventIntervals) -> Tensor:
    """(members, rows): log probability of the event in its interval, given free where it begins; 0 of other rows.

    Args:
        log_cause: (members, rows, causes, bins): log probability of each cause in a bin.
        log_none: (members, rows, bins): of none.
        intervals: Of the same rows.
    """
    found = log_none.new_zeros(log_none.shape[:2])
    rows = intervals.cause.nonzero()[:, 0]
    found[:, rows] = torch.logsumexp(_log_by_bin(log_cause, log_none, intervals, rows), dim=-1)
    return found


def _log_by_bin(log_cause: Tensor, log_none: Tensor, intervals: EventIntervals, rows: Tensor) -> Tensor:
    """(members, rows in an interval, bins): log probability of the event in each bin of its interval.

    log [S(start of bin | free at L) · h_k · (1 − P(none)^share) / (1 − P(none))]: the last factor is 1 where a whole
    bin is inside, so that an interval of one bin is the event in that bin.
    """
    share, own = intervals.share[rows], log_cause[:, rows, intervals.cause[rows] - 1]
    none = log_none[:, rows].clamp(max=-LEAST_HAZARD)
    stays = share * none
    before = stays.cumsum(dim=-1) - stays
    inside = torch.where(share > 0, share, 1.0)  # the others are left out below; log 0 has no gradient
    part = torch.log(-torch.expm1(inside * none)) - torch.log(-torch.expm1(none))
    return (before + own + part).masked_fill(share == 0, -torch.inf)


def log_within_by_cause(log_stays: Tensor, intervals: EventIntervals) -> Tensor:
    """(members, rows, causes): what each cause's hazards say of the intervals, given free where they begin.

    The likelihood of an interval does not fall into one factor a cause, as that of a day does: all causes say where in
    it the event may lie. A cause is to be stopped by its own hazards alone, or the score of one would move with
    another's. So the cause of the event is scored by log[1 − Π_j (1 − h_k)^share], its own hazard somewhere in the
    interval, and the others by being at risk for as long as `likely` expects, whatever the network says. An interval of
    one bin is, for every cause, the event in that bin.

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
