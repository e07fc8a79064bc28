"""One quiet run of Lightning: our listeners tell of progress, nothing else writes."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from features.outcomes import Outcomes
from features.schema import Frozen
from training.config import TrainerConfig
from training.loops.checkpoints import Checkpoint
from training.loops.processes import check_devices, join, launched
from training.loops.stopping import StoppedTraining


class EpochData(Protocol):
    """Whole batches, in the order in which they are seen; what an epoch draws depends on its number."""

    epoch: int


def run_lightning(
    training: StoppedTraining,
    batches: EpochData,
    config: TrainerConfig,
    max_epochs: int,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train on batches that are made by their data set, without loader workers; the best state is left in the module.

    Args:
        training: What is trained.
        batches: An iterable data set of whole batches.
        config: Accelerator, devices, precision, clipping; processes that torchrun started train together.
        max_epochs: When to stop at the latest.
        checkpoint: Where an unfinished run keeps how far it is, and goes on.

    Raises:
        SequelaError: Several devices without torchrun.
    """
    held = None if checkpoint is None else checkpoint.read()
    training.checkpoint = checkpoint
    if held is not None:
        training.go_on(held)
        batches.epoch += held["epoch"]
    if held is None or not (held["stopped"] or held["epoch"] >= max_epochs):
        _train(training, batches, config, max_epochs - training.first_epoch)
    training.finish()
    if checkpoint is not None:
        checkpoint.done()


def _train(training: StoppedTraining, batches: EpochData, config: TrainerConfig, max_epochs: int) -> None:
    check_devices(config.accelerator, config.devices)
    join()
    together: dict[str, Any] = {"devices": config.devices}
    if launched():
        nodes = int(os.environ["WORLD_SIZE"]) // launched()
        together = {"devices": launched(), "num_nodes": nodes, "strategy": DDPStrategy(forward_sync_buffers=False)}
    if config.compile:
        training.module.compile()
    assert isinstance(batches, IterableDataset)  # noqa: S101 - for the type checker
    fit_quietly(
        training,
        batches,
        config,
        max_epochs=max_epochs,
        accumulate_grad_batches=config.accumulate_batches,
        gradient_clip_val=config.gradient_clip_norm,
        deterministic=config.deterministic,
        **together,
    )
    training.module._compiled_call_impl = None  # predictions are not worth compiling for


def fit_quietly(
    training: pl.LightningModule,
    batches: IterableDataset[Any],
    config: TrainerConfig,
    **words: Any,  # noqa: ANN401
) -> None:
    """Let Lightning fit on whole batches; it writes no file, no log and no bar.

    Args:
        training: What is trained.
        batches: They are made by their data set, without loader workers.
        config: Accelerator and precision.
        words: Further arguments of Lightning's `Trainer`.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        accelerator=config.accelerator,
        precision=config.precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **words,
    )
    with warnings.catch_warnings(), _threads(config.threads):
        # Batches are row numbers of data already on the device, or stream from memory: workers would only copy them.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*IterableDataset.*__len__.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*log_every_n_steps.*")
        # Lightning 2.6 on torch 2.13: only the libraries' authors can act on it.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
        # The loader draws from a generator even when it shuffles nothing: a private one keeps the global one as it was.
        trainer.fit(training, DataLoader(batches, batch_size=None, generator=torch.Generator()))


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """So many of PyTorch's own, for as long as the block takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def identified(
    path: Path | None,
    trainer: TrainerConfig,
    config: Frozen,
    x: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: NDArray[np.object_],
    seed: int | Sequence[int],
) -> Checkpoint | None:
    """A checkpoint at a path that is used by a fit of this configuration to these rows alone; None without a path."""
    if path is None:
        return None
    digest = hashlib.sha256(f"{config.model_dump_json()} {trainer.model_dump_json()} {seed}".encode())
    for values in (x, outcomes.duration_days, outcomes.cause, outcomes.entry_days, patient_id.astype(str)):
        if values is not None:
            digest.update(np.ascontiguousarray(values).tobytes())
    if outcomes.after_days is not None:
        digest.update(b"after" + np.ascontiguousarray(outcomes.after_days).tobytes())
    return Checkpoint(path, digest.hexdigest(), trainer.checkpoint_seconds)
