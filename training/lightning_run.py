"""One quiet run of Lightning: our listeners tell of progress, nothing else writes."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

from training.config import TrainerConfig


def run_lightning(
    module: pl.LightningModule, batches: IterableDataset[Any], config: TrainerConfig, max_epochs: int
) -> None:
    """Fit a module on batches that are made by their data set, without loader workers.

    Args:
        module: What is trained.
        batches: Whole batches, in the order in which they are seen.
        config: Accelerator, devices, precision, clipping.
        max_epochs: When to stop at the latest.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        precision=config.precision,
        gradient_clip_val=config.gradient_clip_norm,
        deterministic=config.deterministic,
        max_epochs=max_epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        # Batches are row numbers of data already on the device, or stream from memory: workers would only copy them.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*IterableDataset.*__len__.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*log_every_n_steps.*")
        # Lightning 2.6 on torch 2.13: only the libraries' authors can act on it.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
        # The loader draws from a generator even when it shuffles nothing: a private one keeps the global one as it was.
        trainer.fit(module, DataLoader(batches, batch_size=None, generator=torch.Generator()))
