"""The integrated Brier score as a loss: what a proper score adds to the likelihood in training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.outcomes import Outcomes
from training.models.nonparametric import censoring_survival

LEAST_UNCENSORED = 0.05
"""Below, an inverse probability would make one patient count as twenty others or more."""


class ScoreTargets(NamedTuple):
    """What happened by the end of each bin, and how much it weighs."""

    happened: Tensor
    """(rows, causes, bins): 1 where the event of a cause is known to have happened by the bin's end."""
    weight: Tensor
    """(rows, bins): inverse probability of being uncensored times the bin's share of follow-up; 0 where unknown."""
    entered: Tensor
    """(rows, bins): 1 where the row is under observation before the bin's end."""

    def take(self, rows: Tensor) -> ScoreTargets:
        """Some of the rows."""
        return ScoreTargets(*(value[rows] for value in self))


def score_targets(outcomes: Outcomes, edges_days: NDArray[np.float64]) -> ScoreTargets:
    """Targets and censoring weights (Graf et al., Stat Med 1999;18:2529) at the ends of bins.

    G is the reverse Kaplan–Meier curve of these rows, at least `LEAST_UNCENSORED`. Within the interval of an event
    known to lie between two days nothing is known of the row, and it weighs nothing. Those who stay free keep their
    weight there, so that the score, by itself, holds such days for a little safer than they are.
    """
    ends, days = edges_days[1:], outcomes.duration_days
    done = (outcomes.cause > 0)[:, None] & (days[:, None] <= ends)
    free = days[:, None] > ends
    if outcomes.after_days is not None:
        free &= ~(outcomes.after_days[:, None] < ends)  # false of NaN: known to the day
    censoring = censoring_survival(outcomes)
    at_event = np.maximum(censoring.before(days), LEAST_UNCENSORED)[:, None]
    weight = np.where(done, 1.0 / at_event, 0.0) + np.where(
        free, 1.0 / np.maximum(censoring.at(ends), LEAST_UNCENSORED), 0.0
    )
    entered = outcomes.entered[:, None] < ends
    weight *= entered * np.diff(edges_days) / edges_days[-1]
    causes = np.arange(1, len(outcomes.causes) + 1)
    happened = done[:, None] & (outcomes.cause[:, None] == causes)[:, :, None]
    return ScoreTargets(*(torch.as_tensor(value, dtype=torch.float32) for value in (happened, weight, entered)))


def integrated_brier(log_cause: Tensor, log_none: Tensor, targets: ScoreTargets) -> Tensor:
    """Integrated Brier score of all causes together (members, rows), of incidences from entry on.

    Args:
        log_cause: (members, rows, causes, bins): log probability of each cause in a bin.
        log_none: (members, rows, bins): of none.
        targets: Of the same rows.
    """
    log_free = (log_none * targets.entered).cumsum(dim=-1)
    free_before = torch.nn.functional.pad(log_free, (1, 0))[..., :-1].exp() * targets.entered
    incidence = (log_cause.exp() * free_before[..., None, :]).cumsum(dim=-1)
    return ((targets.happened - incidence) ** 2 * targets.weight[:, None]).sum(dim=(-1, -2))
