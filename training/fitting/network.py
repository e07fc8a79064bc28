"""Fitting the discrete-hazard network with Lightning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.outcomes import Outcomes
from training.config import NetworkConfig, TrainerConfig
from training.fitting.bagged import BaggedTraining
from training.fitting.binning import BinnedOutcomes, base_logits, bin_edges, to_bins
from training.fitting.event_intervals import log_within, log_within_by_cause
from training.fitting.pieces import fit_pieces
from training.fitting.proper_score import ScoreTargets, integrated_brier, score_targets
from training.loops.batches import RowBatch, RowBatches
from training.loops.lightning_run import identified, run_lightning
from training.loops.stopping import EpochListener
from training.models.bins import log_hazards
from training.models.network import HazardNetwork, NetworkSizes, PackedHazards
from training.models.partial_likelihood import MAX_LINEAR_PREDICTOR, PartialLikelihood
from training.models.penalised_fit import maximise, most_likely_penalty
from training.models.repeated_rows import event_patients, independent_share

START_TOLERANCE = 1e-6
"""Of the Cox models from which training begins, relative to their likelihood."""


class HazardTraining(BaggedTraining):
    """Bagged training in which each member is stopped, cause by cause, at its best out-of-bag epoch."""

    module: PackedHazards

    def __init__(
        self,
        module: PackedHazards,
        x: Tensor,
        binned: BinnedOutcomes,
        weights: Tensor,
        config: NetworkConfig,
        listener: EpochListener | None,
        targets: ScoreTargets | None = None,
    ) -> None:
        """`weights` is (members, rows): how often each member drew each row's patient; `targets` are of all rows."""
        best = torch.full((module.sizes.n_members, module.sizes.n_causes), torch.inf)
        super().__init__(module, best, x, binned, weights, config.patience, listener)
        self.config, self.targets = config, targets

    def losses(self, rows: Tensor) -> Tensor:
        """Negative log-likelihood by cause (members, rows, causes) of the rows under every member.

        A cause's share is −Σ_j [event_k log h_k + (at risk, no event of k) log(1 − h_k)]: the likelihood of a discrete
        cause-specific hazard (Allison 1982, eq. 15), of which the multinomial one is the sum up to O(h²). Of an event
        between two days, see `log_within_by_cause`.
        """
        cause, _ = log_hazards(self.module(self.x[rows]).float())
        none = torch.log1p(-cause.exp().clamp(max=1 - 1e-6))
        event, at_risk = self.event[rows], self.at_risk[rows][:, None]
        losses = -(event * cause + (at_risk - event) * none).sum(dim=-1)
        return losses if self.intervals is None else losses - log_within_by_cause(none, self.intervals.take(rows))

    def setup(self, stage: str) -> None:
        """Targets and intervals go where the network goes."""
        super().setup(stage)
        if self.targets is not None:
            self.targets = ScoreTargets(*(value.to(self.device) for value in self.targets))

    def training_step(self, batch: RowBatch, _: int) -> Tensor:
        """Multinomial negative log-likelihood, and a proper score, of a mini-batch, averaged over each member's bag.

        Of an event between two days, the likelihood is that of `training.fitting.event_intervals`.
        """
        rows = batch.rows
        cause, none = log_hazards(self.module(self.x[rows]).float())
        event, at_risk = self.event[rows], self.at_risk[rows]
        stays = at_risk - event.sum(dim=1)
        loss = -(event * cause).sum(dim=(-1, -2)) - (stays * none).sum(dim=-1)
        if self.intervals is not None:
            loss = loss - log_within(cause, none, self.intervals.take(rows))
        if self.targets is not None:
            loss = loss + self.config.score_weight * integrated_brier(cause, none, self.targets.take(rows))
        return self.in_bags(loss, rows, batch.per_row)

    @torch.no_grad()
    def score(self) -> Tensor:
        """Score every member and cause out of bag (members, causes); keep what is better than before."""
        total = torch.zeros_like(self.best)
        for rows in torch.split(torch.arange(len(self.x), device=self.x.device), 2048):
            total += torch.einsum("mnk,mn->mk", self.losses(rows), self.out_of_bag(rows))
        score: Tensor = self.trainer.strategy.broadcast(total / self.n_out_of_bag()[:, None])
        self.keep(score)
        return score

    def bagged(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters, (members, causes, …) each."""
        return self.module.named_parameters()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the base hazards are not decayed, since 0 is no sensible value for them."""
        base = [self.module.base, self.module.hidden_bias]
        rest = [p for p in self.module.parameters() if not any(p is b for b in base)]
        groups = [{"params": base, "weight_decay": 0.0}, {"params": rest, "weight_decay": self.config.weight_decay}]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate)


def fit_network(
    x: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: NDArray[np.object_],
    config: NetworkConfig,
    trainer_config: TrainerConfig,
    *,
    seed: int,
    listener: EpochListener | None = None,
    checkpoint: Path | None = None,
) -> HazardNetwork:
    """Fit the bagged network on encoded patients.

    Args:
        x: Standardised features (rows, features).
        outcomes: Outcomes of the rows.
        patient_id: (rows,): rows of one patient are drawn together, so that no patient is in and out of one bag.
        config: The network.
        trainer_config: Accelerator, devices, precision.
        seed: Of initial weights, bags and mini-batches.
        listener: Told the losses of each epoch.
        checkpoint: File in which an unfinished fit keeps how far it is; the fit of the same data goes on there.
    """
    rng = np.random.default_rng(seed)
    edges = bin_edges(outcomes, config.bins)
    binned = to_bins(outcomes, edges)
    pieces = fit_pieces(x, event_patients(patient_id, outcomes.cause > 0))
    shape = (x.shape[1], len(outcomes.causes), len(edges) - 1, config.hidden, len(pieces.feature))
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    module = PackedHazards(NetworkSizes(config.members, *shape), generator, pieces)
    _, patient = np.unique(patient_id.astype(str), return_inverse=True)
    drawn = rng.poisson(1.0, size=(config.members, patient.max() + 1))[:, patient]
    begin_linear(module, x, outcomes, binned, drawn, ridge_penalties(x, outcomes, patient_id))
    training = HazardTraining(
        module,
        torch.as_tensor(x, dtype=torch.float32),
        binned,
        torch.as_tensor(drawn, dtype=torch.float32),
        config,
        listener,
        score_targets(outcomes, edges) if config.score_weight else None,
    )
    batches = RowBatches(np.arange(len(x)), config.batch_rows, int(rng.integers(2**31)))
    kept = identified(checkpoint, trainer_config, config, x, outcomes, patient_id, seed)
    run_lightning(training, batches, trainer_config, config.max_epochs, kept)
    return HazardNetwork(module, edges)


def ridge_penalties(x: NDArray[np.float64], outcomes: Outcomes, patient_id: NDArray[np.object_]) -> tuple[float, ...]:
    """For each cause, the most likely penalty of a ridge cause-specific Cox model."""
    penalties, by_day = [], outcomes.in_the_middle()
    for k in range(len(outcomes.causes)):
        independent = independent_share(patient_id, outcomes.cause == k + 1)
        penalties.append(most_likely_penalty(PartialLikelihood.of(x, by_day, k + 1), independent))
    return tuple(penalties)


@torch.no_grad()
def begin_linear(
    module: PackedHazards,
    x: NDArray[np.float64],
    outcomes: Outcomes,
    binned: BinnedOutcomes,
    drawn: NDArray[np.int64],
    penalties: Sequence[float],
) -> None:
    """Set linear weights to a ridge cause-specific Cox model of each member's bag, and base hazards to fit them.

    Gradient steps with few events move all weights alike; a penalised fit moves those that matter, and leaves to
    training what is not linear. An event between two days counts in the middle. In short bins a log hazard ratio is
    also one of discrete hazards (Thompson, Biometrics 1977;33:463). Only the bag is fitted, so that who is out of it
    can still tell when to stop; base hazards are all patients'.

    Args:
        module: Changed in place.
        x: Features (rows, features).
        outcomes: Of the rows.
        binned: The same in bins.
        drawn: (members, rows): how often each member drew each row's patient.
        penalties: One a cause.
    """
    for member, times in enumerate(drawn):
        bag = np.repeat(np.arange(len(x)), times)
        of_bag = outcomes.take(bag).in_the_middle()
        for k, penalty in enumerate(penalties):
            likelihood = PartialLikelihood.of(x[bag], of_bag, k + 1)
            if not len(likelihood.event_row):
                continue
            beta = maximise(likelihood, penalty, tolerance=START_TOLERANCE)
            module.linear[member, k, : x.shape[1]] = torch.as_tensor(beta, dtype=torch.float32)
        beta = module.linear[member, :, : x.shape[1]].T.double().numpy()
        relative = np.exp(np.clip(x @ beta, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR))
        module.base[member] = base_logits(binned, torch.as_tensor(relative, dtype=torch.float32))
