"""Fine-tuning of the in-context network on the cohort that it is to read.

In each step some of the patients are asked about, the others are read, and the network learns from what became of
those asked about. Its weights are then a mean of those it came with and of those it ended with (Wortsman et al., CVPR
2022, arXiv:2109.01903), the second counting the more, the more events there were to learn from: few do not carry it
far. They are the cohort's own, and are stored with the artifact like any others.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from training.config import InContextConfig, TrainerConfig
from training.loops.lightning_run import fit_quietly
from training.models.cohort_context import CohortContext, event_edges, expected_loss
from training.models.in_context import InContextModule
from training.models.in_context_predictor import Cohort, Scaling

ASKED = 4
"""One patient in so many is asked about in a step."""
WORTH_EVENTS = 100.0
"""The weights that the network came with count as so many events of the cohort."""


def fine_tune(
    module: InContextModule,
    cohort: Cohort,
    patient_id: NDArray[np.object_],
    config: InContextConfig,
    trainer: TrainerConfig,
    *,
    seed: int,
) -> InContextModule:
    """The network after `config.tuning_steps` steps on the cohort, averaged with what it was.

    Args:
        module: Pre-trained.
        cohort: The rows.
        patient_id: (rows,): the rows of a patient are read together, or asked about together.
        config: How many steps, and how large.
        trainer: Accelerator, precision, clipping, parts whose gradients make one step; steps so few are not compiled.
        seed: Of who is asked about.
    """
    patient = np.unique(patient_id.astype(str), return_inverse=True)[1]
    if patient.max() < 1:
        return module  # nobody would be left to read
    tuned, parts = copy.deepcopy(module).train(), Parts(patient, seed)
    fit_quietly(
        FineTuning(tuned, cohort, config),
        parts,
        trainer,
        devices=1,
        max_epochs=1,
        max_steps=config.tuning_steps,
        gradient_clip_val=trainer.gradient_clip_norm,
        accumulate_grad_batches=trainer.accumulate_batches,
        deterministic=trainer.deterministic,
    )
    own = len(np.unique(patient[cohort.cause > 0]))
    return _between(module, tuned.cpu().float(), own / (own + WORTH_EVENTS)).eval()


@torch.no_grad()
def _between(module: InContextModule, tuned: InContextModule, share: float) -> InContextModule:
    """The second network, with that share of the way to its weights from those of the first."""
    for own, came_with in zip(tuned.parameters(), module.parameters(), strict=True):
        own.copy_(torch.lerp(came_with, own, share))
    return tuned


class FineTuning(pl.LightningModule):
    """Steps of AdamW on parts of one cohort."""

    x: Tensor
    there: Tensor
    time: Tensor
    cause: Tensor
    entry: Tensor

    def __init__(self, module: InContextModule, cohort: Cohort, config: InContextConfig) -> None:
        """The module is changed."""
        super().__init__()
        self.module, self.n_causes, self.config = module, cohort.n_causes, config
        raw = torch.from_numpy(cohort.x)
        scaling = Scaling.of(raw)
        own = (scaling(raw), scaling.there[None], *cohort.course())
        for name, values in zip(("x", "there", "time", "cause", "entry"), own, strict=True):
            self.register_buffer(name, values, persistent=False)

    def training_step(self, rows: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of the rows asked about, given the rows read: the mean over causes."""
        read, asked = rows
        told = [(self.time[part][None], self.cause[part][None], self.entry[part][None]) for part in (read, asked)]
        edges = event_edges(told[0][0], told[0][1], self.module.sizes.bins)
        losses = []
        for which in range(1, self.n_causes + 1):
            context, own = (CohortContext.of(edges, *one, which) for one in told)
            shift = self.module(self.x[read][None], self.there, context, self.x[asked][None])
            log_hazard = context.base_hazards()[0][:, None].log() + shift
            losses.append(expected_loss(log_hazard, own.event, own.exposure).mean())
        return torch.stack(losses).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.module.parameters(), lr=self.config.tuning_rate, weight_decay=0.0)


class Parts(IterableDataset[tuple[Tensor, Tensor]]):
    """Row numbers to read and to ask about, step after step."""

    def __init__(self, patient: NDArray[np.int64], seed: int) -> None:
        """`patient` (rows,): whose each row is."""
        self.patient, self.seed = patient, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([self.seed, 1])
        n = int(self.patient.max()) + 1
        while True:
            asked = np.isin(self.patient, rng.permutation(n)[: max(1, n // ASKED)])
            yield torch.from_numpy(np.flatnonzero(~asked)), torch.from_numpy(np.flatnonzero(asked))
