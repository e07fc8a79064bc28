"""Fitting discrete-hazard networks of several endpoints together: what is not linear is learnt from all their events.

Each endpoint keeps base hazards, linear paths and output weights of its own; the hidden layer is one for all endpoints
and causes (hard parameter sharing: Caruana, Machine Learning 1997;28:41–75). An endpoint with few events so learns from
those with many how patients differ. Each member and cause is stopped at its own best out-of-bag epoch and keeps the
hidden layer of that epoch: what comes out for an endpoint is an ordinary network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from features.outcomes import Outcomes
from training.config import NetworkConfig, TrainerConfig
from training.fitting.binning import bin_edges, to_bins
from training.fitting.network import HazardTraining, begin_linear, ridge_penalties
from training.fitting.pieces import fit_pieces
from training.fitting.proper_score import score_targets
from training.loops.batches import RowBatch, RowBatches
from training.loops.lightning_run import identified, run_lightning
from training.loops.processes import n_processes
from training.loops.stopping import EpochListener, StoppedTraining
from training.models.network import HazardNetwork, NetworkSizes, PackedHazards, Pieces
from training.models.repeated_rows import event_patients


@dataclass(frozen=True, slots=True)
class Task:
    """One endpoint's rows, as its network sees them."""

    x: NDArray[np.float64]
    """(rows, features), of one encoder for all tasks."""
    outcomes: Outcomes
    patient_id: NDArray[np.object_]


class JointTraining(StoppedTraining):
    """Several endpoints' networks, one hidden layer; a mini-batch holds rows of all endpoints."""

    def __init__(self, parts: Sequence[HazardTraining], patience: int, listener: EpochListener | None) -> None:
        """`parts` share the parameters of their hidden layer."""
        best = torch.cat([part.best for part in parts], dim=1)
        super().__init__(nn.ModuleList([part.module for part in parts]), best, patience, listener)
        self.parts, self.own = list(parts), list[PackedHazards]()
        self.first_row = np.cumsum([0, *(len(part.x) for part in parts)])
        for number, part in enumerate(parts):
            self.add_module(f"part{number}", part)  # Lightning moves it, and tells it of the trainer

    def setup(self, stage: str) -> None:
        """Targets go where the networks go."""
        for part in self.parts:
            part.setup(stage)

    def training_step(self, batch: RowBatch, number: int) -> Tensor:
        """Sum of the endpoints' losses, each on its own rows of the batch."""
        total = torch.zeros((), device=self.device)
        for part, first, end in zip(self.parts, self.first_row[:-1], self.first_row[1:], strict=True):
            rows = batch.rows[(batch.rows >= first) & (batch.rows < end)] - int(first)
            if len(rows) or n_processes() > 1:  # which wait for one another's gradients of every parameter
                total = total + part.training_step(RowBatch(rows, batch.per_row), number)
        return total

    def mean_loss(self) -> float:
        """Of a row and member."""
        total = sum(part.loss_sum for part in self.parts)
        for part in self.parts:
            part.loss_sum = 0.0
        return total / int(self.first_row[-1])

    @torch.no_grad()
    def score(self) -> Tensor:
        """Out-of-bag losses (members, causes of all endpoints)."""
        score = torch.cat([part.score() for part in self.parts], dim=1)
        self.best = torch.cat([part.best for part in self.parts], dim=1)
        self.kept = {f"{i}.{name}": value for i, part in enumerate(self.parts) for name, value in part.kept.items()}
        self.stale = min(part.stale for part in self.parts)
        return score

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, as for one endpoint; what the endpoints share is stepped once."""
        base = {id(p): p for part in self.parts for p in (part.module.base, part.module.hidden_bias)}
        rest = [p for p in self.module.parameters() if id(p) not in base]
        config = self.parts[0].config
        groups = [
            {"params": [*base.values()], "weight_decay": 0.0},
            {"params": rest, "weight_decay": config.weight_decay},
        ]
        return torch.optim.AdamW(groups, lr=config.learning_rate)

    def go_on(self, held: Mapping[str, Any]) -> None:
        """Take up a state that a checkpoint held, each endpoint its part."""
        super().go_on(held)
        causes = [part.module.sizes.n_causes for part in self.parts]
        for number, (part, best) in enumerate(zip(self.parts, torch.split(self.best, causes, dim=1), strict=True)):
            prefix = f"{number}."
            part.kept = {k.removeprefix(prefix): v for k, v in self.kept.items() if k.startswith(prefix)}
            part.best, part.stale = best, self.stale

    def finish(self) -> None:
        """Give each endpoint a hidden layer of its own, the best of each member and cause."""
        self.own = [PackedHazards(part.module.sizes, None) for part in self.parts]
        self.module = nn.ModuleList(self.own)
        super().finish()


def fit_together(
    tasks: Sequence[Task],
    config: NetworkConfig,
    trainer_config: TrainerConfig,
    *,
    seed: int,
    listener: EpochListener | None = None,
    checkpoint: Path | None = None,
) -> list[HazardNetwork]:
    """Fit the networks of several endpoints, with one hidden layer for all.

    Args:
        tasks: The endpoints; the rows of a patient are drawn together into a member's bag, in all endpoints alike.
        config: The network of each.
        trainer_config: Accelerator, devices, precision.
        seed: Of initial weights, bags and mini-batches.
        listener: Told the losses of each epoch.
        checkpoint: File in which an unfinished fit keeps how far it is; the fit of the same data goes on there.

    Returns:
        A network for each task.

    Raises:
        SequelaError: An endpoint has no events.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    everyone = np.concatenate([task.x for task in tasks])
    pieces = fit_pieces(everyone, max(event_patients(task.patient_id, task.outcomes.cause > 0) for task in tasks))
    names = np.concatenate([task.patient_id.astype(str) for task in tasks])
    ids, patient = np.unique(names, return_inverse=True)
    drawn = rng.poisson(1.0, size=(config.members, len(ids)))[:, patient]
    sizes = [len(task.x) for task in tasks]
    parts: list[HazardTraining] = []
    for task, of_task in zip(tasks, np.split(drawn, np.cumsum(sizes)[:-1], axis=1), strict=True):
        parts.append(_part(task, config, pieces, of_task, generator))
        parts[-1].module.share_hidden(parts[0].module)
    training = JointTraining(parts, config.patience, listener)
    batches = RowBatches(np.arange(len(everyone)), config.batch_rows, int(rng.integers(2**31)))
    outcomes = Outcomes.concatenate([task.outcomes for task in tasks])
    kept = identified(checkpoint, trainer_config, config, everyone, outcomes, names, (seed, *sizes))
    run_lightning(training, batches, trainer_config, config.max_epochs, kept)
    edges = [bin_edges(task.outcomes, config.bins) for task in tasks]
    return [HazardNetwork(module, own) for module, own in zip(training.own, edges, strict=True)]


def _part(
    task: Task, config: NetworkConfig, pieces: Pieces, drawn: NDArray[np.int64], generator: torch.Generator
) -> HazardTraining:
    """One endpoint's network, its linear paths at ridge Cox models of its own, ready to be trained with the others."""
    edges = bin_edges(task.outcomes, config.bins)
    shape = (task.x.shape[1], len(task.outcomes.causes), len(edges) - 1, config.hidden, len(pieces.feature))
    module = PackedHazards(NetworkSizes(config.members, *shape), generator, pieces)
    binned = to_bins(task.outcomes, edges)
    penalties = ridge_penalties(task.x, task.outcomes, task.patient_id)
    begin_linear(module, task.x, task.outcomes, binned, drawn, penalties)
    x, weights = (torch.as_tensor(values, dtype=torch.float32) for values in (task.x, drawn))
    targets = score_targets(task.outcomes, edges) if config.score_weight else None
    return HazardTraining(module, x, binned, weights, config, None, targets)
