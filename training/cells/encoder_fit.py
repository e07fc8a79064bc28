"""Fitting an encoder of single cells with Lightning, on cells without labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import IterableDataset

from features.cells.cell_encoder import ARRAYS, CellEncoder, CellEncoderCard, patient_digest
from features.errors import SequelaError
from features.schema import Frozen
from training.cells.stream import CellStream
from training.config import TrainerConfig
from training.loops.lightning_run import run_lightning
from training.loops.processes import n_processes
from training.loops.stopping import EpochListener, StoppedTraining
from training.models.cell_autoencoder import CellAutoencoder


class CellEncoderConfig(Frozen):
    """The network and its fit."""

    dimensions: Annotated[int, Field(ge=1)] = 32
    hidden: Annotated[int, Field(ge=1)] = 128
    masked_share: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the genes of a cell that is hidden from the encoder, drawn anew for every cell and epoch."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    max_epochs: Annotated[int, Field(ge=1)] = 100
    patience: Annotated[int, Field(ge=1)] = 5
    """Epochs without a lower held-out loss after which the fit ends."""


@dataclass(frozen=True, slots=True)
class CellEncoderFit:
    """What a fit leaves: the encoder, and the whole network for whoever wants to reconstruct cells."""

    encoder: CellEncoder
    network: CellAutoencoder
    profile: NDArray[np.float32]
    """(genes,): mean profile of the training cells, the reconstruction to beat."""
    held_out_losses: tuple[float, ...]
    """At the start, and after each epoch."""
    """By epoch."""


@dataclass(frozen=True, slots=True)
class _Moments:
    """Sums over all training cells."""

    n_cells: int
    profile: Tensor
    center: Tensor
    scale: Tensor


def fit_cell_encoder(
    stream: CellStream,
    config: CellEncoderConfig | None = None,
    trainer_config: TrainerConfig | None = None,
    *,
    cohort: str,
    seed: int,
    listener: EpochListener | None = None,
) -> CellEncoderFit:
    """Fit a denoising autoencoder; the weights kept are those of the epoch with the lowest held-out loss.

    Args:
        stream: Cells of training patients. No cell of a patient that a model is tested on may be in it.
        config: The network and its fit.
        trainer_config: Accelerator, devices, precision.
        cohort: Fingerprint of the cohort that the cells are of.
        seed: Of initial weights, order of cells and hidden genes; the same on CPU and GPU.
        listener: Told the losses of each epoch.

    Raises:
        SequelaError: There is no cell to fit on or to stop by, or the loss is not finite.
    """
    config, trainer_config = config or CellEncoderConfig(), trainer_config or TrainerConfig()
    moments = _moments(stream, seed)
    generator = torch.Generator().manual_seed(seed)
    network = CellAutoencoder(
        len(stream.genes), config.hidden, config.dimensions, counts=stream.counts, generator=generator
    )
    network.start_at(moments.profile, moments.center, moments.scale)
    training = _EncoderTraining(network, stream, config, listener)
    run_lightning(training, _Epochs(stream, config.masked_share, seed), trainer_config, config.max_epochs)
    network.eval().requires_grad_(requires_grad=False)
    card = CellEncoderCard(
        genes=stream.genes,
        counts=stream.counts,
        cohort=cohort,
        patients=tuple(sorted(patient_digest(cohort, name) for name in stream.patients)),
        n_cells=moments.n_cells,
        seed=seed,
        explained=_explained(network, stream, moments.profile),
        settings=config.model_dump(mode="json"),
    )
    arrays = {name: value.numpy().copy() for name, value in network.state_dict().items() if name in ARRAYS}
    encoder = CellEncoder.from_state(card.model_dump(mode="json"), arrays)
    return CellEncoderFit(encoder, network, moments.profile.numpy(), tuple(training.held_out_losses))


def _moments(stream: CellStream, seed: int) -> _Moments:
    """One pass over the training cells: their number, mean profile, and mean and spread of intensities."""
    n_cells, n_genes = 0, len(stream.genes)
    total, squared = np.zeros(n_genes), np.zeros(n_genes)
    for batch in stream.training(np.random.default_rng([seed, 0])):
        n_cells += len(batch)
        total += batch.sum(axis=0, dtype=np.float64)
        squared += np.square(batch, dtype=np.float64).sum(axis=0)
    if not n_cells or (stream.counts and total.sum() <= 0):
        msg = "cell encoder: the training cells have no value on any of the genes; check that genes are named alike"
        raise SequelaError(msg)
    center, scale = np.zeros(n_genes), np.ones(n_genes)
    if not stream.counts:
        center = total / n_cells
        spread = np.sqrt(np.maximum(squared / n_cells - center**2, 0.0))
        scale = np.where(spread > 1e-6, spread, 1.0)
    profile = total / total.sum() if stream.counts else np.zeros(n_genes)
    return _Moments(n_cells, *(torch.as_tensor(x, dtype=torch.float32) for x in (profile, center, scale)))


class _EncoderTraining(StoppedTraining):
    """Denoising training, scored on cells held out."""

    module: CellAutoencoder

    def __init__(
        self, network: CellAutoencoder, stream: CellStream, config: CellEncoderConfig, listener: EpochListener | None
    ) -> None:
        super().__init__(network, torch.tensor(torch.inf), config.patience, listener)
        self.stream, self.config = stream, config
        self.held_out_losses: list[float] = []
        self.n_cells = 0

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Mean loss of a batch of cells, some of whose genes are hidden."""
        values, kept = batch
        loss: Tensor = self.module.loss(values, kept).mean()
        self.loss_sum += float(loss.detach()) * len(values)
        self.n_cells += len(values)
        return loss

    def mean_loss(self) -> float:
        """Of a cell: this process's part of the sum over processes."""
        mean = self.loss_sum / max(self.n_cells, 1) / n_processes()
        self.n_cells = 0
        return mean

    @torch.no_grad()
    def score(self) -> Tensor:
        """Score the held-out cells; keep the best weights."""
        total, n_cells = 0.0, 0
        for batch in self.stream.held_out():
            total += float(self.module.loss(torch.as_tensor(batch, device=self.device)).sum())
            n_cells += len(batch)
        score = self.trainer.strategy.broadcast(torch.tensor(total / n_cells if n_cells else torch.nan))
        if not bool(torch.isfinite(score)):
            msg = "cell encoder: the held-out loss is not finite; check the cells, or lower learning_rate"
            raise SequelaError(msg)
        self.stale += 1
        if score < self.best:
            self.kept, self.best, self.stale = _copy(self.module), score, 0
        self.held_out_losses.append(float(score))
        return score

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; biases, scales and dispersions are not decayed."""
        matrices = [p for p in self.module.parameters() if p.ndim > 1]
        rest = [p for p in self.module.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate)


class _Epochs(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches with their masks; an epoch depends on seed and epoch alone, and is drawn on the CPU for any device."""

    def __init__(self, stream: CellStream, masked_share: float, seed: int) -> None:
        self.stream, self.masked_share, self.seed, self.epoch = stream, masked_share, seed, 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.epoch += 1
        order, masks = (np.random.default_rng([self.seed, self.epoch, part]) for part in range(2))
        for batch in self.stream.training(order):
            kept = masks.random(batch.shape, dtype=np.float32) >= self.masked_share
            yield torch.as_tensor(batch), torch.as_tensor(kept.astype(np.float32))


def _copy(network: CellAutoencoder) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def _explained(network: CellAutoencoder, stream: CellStream, profile: Tensor) -> float:
    """Share of the held-out cells' deviance from the mean profile that the reconstruction explains."""
    left, whole = 0.0, 0.0
    for batch in stream.held_out():
        ours, mean = network.deviance(torch.as_tensor(batch), profile)
        left, whole = left + float(ours.double().sum()), whole + float(mean.double().sum())
    return 1.0 - left / whole if whole > 0 else 0.0
