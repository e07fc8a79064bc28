"""Bagged training of discrete hazards: all members at once, each kept at its best out-of-bag epoch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from training.fitting.binning import BinnedOutcomes
from training.fitting.event_intervals import EventIntervals
from training.loops.stopping import EpochListener, StoppedTraining

LEAST_GAIN = 1e-5
"""Share of the best score so far by which a better one has to be better."""


class BaggedTraining(StoppedTraining):
    """Each member weighs patients by Poisson(1) draws, and those it draws 0 times score it.

    Online bagging: Oza & Russell, Online Bagging and Boosting, 2001.
    """

    x: Tensor
    at_risk: Tensor
    event: Tensor
    weights: Tensor
    module: nn.Module

    def __init__(
        self,
        module: nn.Module,
        best: Tensor,
        x: Tensor,
        binned: BinnedOutcomes,
        weights: Tensor,
        patience: int,
        listener: EpochListener | None,
    ) -> None:
        """`best` (members, …) is infinite; `weights` (members, rows): how often each drew each row's patient."""
        super().__init__(module, best, patience, listener)
        self.intervals = binned.intervals
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("at_risk", binned.at_risk, persistent=False)
        self.register_buffer("event", binned.event, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def setup(self, stage: str) -> None:
        """Intervals go where the network goes."""
        del stage
        if self.intervals is not None:
            self.intervals = EventIntervals(*(value.to(self.device) for value in self.intervals))

    def in_bags(self, loss: Tensor, rows: Tensor, per_row: float) -> Tensor:
        """Loss (members, rows) of some rows, averaged over each member's bag."""
        weighted = (loss * self.weights[:, rows]).sum()
        self.loss_sum += float(weighted.detach()) / len(self.weights)
        return weighted * per_row

    def out_of_bag(self, rows: Tensor) -> Tensor:
        """(members, rows): 1 where a member did not draw the row's patient."""
        return (self.weights[:, rows] == 0).float()

    def n_out_of_bag(self) -> Tensor:
        """(members,): rows, at least 1."""
        return (self.weights == 0).sum(dim=1).clamp(min=1)

    def mean_loss(self) -> float:
        """Of a patient and member."""
        return self.loss_sum / len(self.x)

    @abstractmethod
    def bagged(self) -> Iterator[tuple[str, Tensor]]:
        """What each member has of its own: name and value, whose first dimensions are those of `best`."""

    def keep(self, score: Tensor) -> None:
        """Keep of each member what is better than before, and count `stale`."""
        better = score < self.best - LEAST_GAIN * self.best.abs().nan_to_num(posinf=0.0)
        self.best = torch.where(better, score, self.best)
        for name, value in self.bagged():
            mask = better.reshape(*better.shape, *[1] * (value.ndim - better.ndim))
            self.kept[name] = torch.where(mask, value.detach(), self.kept[name].to(value.device))
        self.stale = 0 if bool(better.any()) else self.stale + 1
