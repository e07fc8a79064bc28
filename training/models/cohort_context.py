"""What became of the patients of a cohort, as an in-context model reads it: bins of follow-up, exposure and events."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NARROWEST = 1e-5
"""Width of a bin in which several quantiles fall together, as a share of follow-up."""


@dataclass(frozen=True, slots=True)
class CohortContext:
    """Rows of several tables, for one cause of each."""

    exposure: Tensor
    """(tables, rows, bins): share of each bin in which the row was under observation."""
    event: Tensor
    """(tables, rows, bins): 1 where the event of the cause happened."""
    other: Tensor
    """(tables, rows, bins): 1 where the event of another cause happened."""

    @classmethod
    def of(cls, edges: Tensor, time: Tensor, cause: Tensor, entry: Tensor, which: int) -> CohortContext:
        """Outcomes (tables, rows) in bins with edges (tables, bins + 1), for the cause of number `which`."""
        n_bins = edges.shape[1] - 1
        bin_, reached = _place(edges, time)
        _, entered = _place(edges, entry)
        number = torch.arange(n_bins, device=edges.device)
        exposure = (reached[..., None] - number).clamp(0, 1) - (entered[..., None] - number).clamp(0, 1)
        here = torch.nn.functional.one_hot(bin_, n_bins).to(edges.dtype) * (time <= edges[:, -1:])[..., None]
        own, others = cause == which, (cause > 0) & (cause != which)
        return cls(exposure, here * own[..., None], here * others[..., None])

    def base_hazards(self) -> tuple[Tensor, Tensor]:
        """(tables, bins): expected events of the cause, and of the others, of a row that is exposed for a whole bin.

        Occurrences over exposure, with one event more in each bin, at the hazard of the whole follow-up.
        """
        exposure = self.exposure.sum(dim=1)
        hazards = []
        for events in (self.event.sum(dim=1), self.other.sum(dim=1)):
            mean = (events.sum(dim=1, keepdim=True) + 0.5) / (exposure.sum(dim=1, keepdim=True) + 1.0)
            hazards.append((events + 1.0) / (exposure + 1.0 / mean))
        return hazards[0], hazards[1]

    def told(self) -> Tensor:
        """(tables, rows, 3 · bins + 2): outcomes, and martingale residuals of the cause and of the others."""
        cause, others = self.base_hazards()
        residuals = [
            events.sum(dim=-1, keepdim=True) - self.exposure @ hazard[..., None]
            for events, hazard in ((self.event, cause), (self.other, others))
        ]
        return torch.cat([self.exposure, self.event, self.other, *residuals], dim=-1)


def event_edges(time: Tensor, cause: Tensor, n_bins: int) -> Tensor:
    """(tables, bins + 1): edges from 0 on, bins of equal numbers of events of any cause; of equal width without."""
    steps = torch.linspace(0, 1, n_bins + 1, device=time.device)[1:]
    of_events = torch.nanquantile(torch.where(cause > 0, time, torch.nan), steps, dim=1).T
    longest = time.max(dim=1, keepdim=True).values
    edges = torch.where(of_events.isnan(), steps * longest, of_events)
    edges = torch.cat([torch.zeros_like(longest), edges], dim=1)
    return edges + NARROWEST * longest * torch.arange(n_bins + 1, device=time.device)


def expected_loss(log_hazard: Tensor, events: Tensor, exposure: Tensor) -> Tensor:
    """(…,): minus the log likelihood of hazards constant in bins, of what is expected in each bin.

    Args:
        log_hazard: (…, bins): log expected events of a row that is exposed for a whole bin.
        events: (…, bins): probability of the event of the cause in the bin.
        exposure: (…, bins): share of the bin in which the row is expected to be free of any event.
    """
    return (log_hazard.exp() * exposure - events * log_hazard).sum(dim=-1)


def _place(edges: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """(tables, rows): the bin (edge before, edge behind] of each time, and how many bins have passed by then."""
    number = (torch.searchsorted(edges.contiguous(), time.contiguous()) - 1).clamp(0, edges.shape[1] - 2)
    before, behind = edges.gather(1, number), edges.gather(1, number + 1)
    return number, number + ((time - before) / (behind - before)).clamp(0, 1)
