"""Fitting networks that look at single cells, with Lightning: bags drawn afresh each epoch, cells dropped out."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.cells.samples import SampleFeatures
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from training.cells.drawing import BagConfig, CellSource, Epochs, Step
from training.cells.network_start import bag_sizes, begin_linear, fit_input, initial_module, standardised_counts
from training.config import AttentionConfig, TrainerConfig
from training.fitting.bagged import BaggedTraining
from training.fitting.binning import BinnedOutcomes, bin_edges, to_bins
from training.fitting.event_intervals import log_within
from training.loops.lightning_run import identified, run_lightning
from training.loops.processes import n_processes
from training.loops.stopping import EpochListener
from training.models.bag_network import AttentionNetwork, BagHazards, BagNetwork, SetTransformer
from training.models.bins import log_hazards
from training.models.network import NetworkSizes
from training.models.predictor import KnownSamples
from training.models.sample_layout import SampleLayout

FEWEST_CELLS = 16
"""With fewer cells a sample than this, memory is not what is wrong."""
SLOW = ("prototypes.points", "prototypes.sharpness", "axes.weight", "axes.bias")
"""Parameters that begin at a good place, and learn at a tenth of the rate."""
_log = logging.getLogger(__name__)


class BagTraining(BaggedTraining):
    """Bagged training scored with cells, and without, in the proportion in which it was trained."""

    module: BagHazards

    def __init__(
        self,
        module: BagHazards,
        x: Tensor,
        binned: BinnedOutcomes,
        weights: Tensor,
        config: BagConfig,
        epochs: Epochs,
        listener: EpochListener | None,
    ) -> None:
        """`weights` is (members, rows): how often each member drew each row's patient."""
        best = torch.full((module.hazards.n_members,), torch.inf)
        super().__init__(module, best, x, binned, weights, config.patience, listener)
        self.config, self.epochs = config, epochs

    def losses(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Multinomial negative log-likelihood (members, rows), as in `training.fitting.network`."""
        cause, none = log_hazards(logits.float())
        event, at_risk = self.event[rows], self.at_risk[rows]
        losses = -(event * cause).sum(dim=(-1, -2)) - ((at_risk - event.sum(dim=1)) * none).sum(dim=-1)
        return losses if self.intervals is None else losses - log_within(cause, none, self.intervals.take(rows))

    def training_step(self, step: Step, _: int) -> Tensor:
        """Loss of some rows, averaged over the bag of each member."""
        loss = self.losses(self.module(self.x[step.rows], step.batch, step.grid), step.rows)
        return self.in_bags(loss, step.rows, step.per_row)

    @torch.no_grad()
    def score(self) -> Tensor:
        """Score every member out of bag (members,); keep what is better than before."""
        total = torch.zeros_like(self.best)
        dropout = self.config.modality_dropout
        for given in self.epochs.scored():
            step = pl.utilities.move_data_to_device(given, self.device)
            x, out_of_bag = self.x[step.rows], self.out_of_bag(step.rows)
            seen = self.losses(self.module(x, step.batch, step.grid), step.rows)
            alone = self.losses(self.module.clinic(x), step.rows)
            total += ((1.0 - dropout) * seen * out_of_bag + dropout * alone * out_of_bag).sum(dim=1)
        total = torch.as_tensor(self.trainer.strategy.reduce(total, reduce_op="sum"))
        score = total / self.n_out_of_bag()
        if not bool(torch.isfinite(score).all()):
            msg = "model.learning_rate: the out-of-bag loss is not finite; choose a lower one"
            raise SequelaError(msg)
        self.keep(score)
        return score

    def bagged(self) -> Iterator[tuple[str, Tensor]]:
        """All but mean and spread of the input, which are constant; (members, …) each."""
        return ((name, value) for name, value in self.module.state_dict().items() if value.ndim > 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; base hazards, biases and shifts are not decayed."""
        free = ("base", "bias", "shift", "scale", "gain", *SLOW)
        named = list(self.module.named_parameters())
        rate, decay = self.config.learning_rate, self.config.weight_decay
        slow = [p for name, p in named if name.endswith(SLOW)]
        rest = [p for name, p in named if name.endswith(free) and not name.endswith(SLOW)]
        groups = [
            {"params": [p for name, p in named if not name.endswith(free)], "weight_decay": decay},
            {"params": rest, "weight_decay": 0.0},
            {"params": slow, "weight_decay": 0.0, "lr": rate / 10},
        ]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate)


def fit_bag_network(
    x: NDArray[np.float64],
    patients: Patients,
    outcomes: Outcomes,
    panel: SampleFeatures | None,
    config: BagConfig,
    trainer_config: TrainerConfig,
    *,
    seed: int,
    listener: EpochListener | None = None,
    checkpoint: Path | None = None,
) -> BagNetwork:
    """Fit a network of cells and clinic on training rows.

    Args:
        x: Standardised features (rows, features).
        patients: The rows, with their samples; those after a row's landmark are not looked at.
        outcomes: Outcomes of the rows.
        panel: Materials and kind of values, as the encoder knows them.
        config: The network.
        trainer_config: Accelerator, devices, precision.
        seed: Of genes' components, initial weights, bags, cells and steps.
        listener: Told the losses of each epoch.
        checkpoint: File in which an unfinished fit keeps how far it is; the fit of the same data goes on there.

    Raises:
        SequelaError: No cell of any patient is known by the landmark, or there is no event.
    """
    samples = KnownSamples.of(patients)
    if panel is None or not len(samples):
        msg = (
            f"model.kind: {config.kind} looks at single cells, and no training patient has a sample with cells by its "
            "landmark; give the cohort cells.h5ad and samples.csv, or choose kind: network"
        )
        raise SequelaError(msg)
    layout = SampleLayout.of(samples, panel.materials)
    rng = np.random.default_rng(seed)
    cells, pca = fit_input(patients, samples, layout, panel, config, int(rng.integers(2**31)))
    source = CellSource(cells, samples, layout)
    edges = bin_edges(outcomes, config.bins, config.kind)
    binned = to_bins(outcomes, edges)
    hazards = NetworkSizes(config.members, x.shape[1], len(outcomes.causes), len(edges) - 1, config.hidden)
    _, patient = np.unique(patients.patient_id.astype(str), return_inverse=True)
    drawn = rng.poisson(1.0, size=(config.members, patient.max() + 1))[:, patient]
    seeds = rng.integers(2**31, size=2).tolist()

    initial = initial_module(hazards, bag_sizes(cells, pca, panel, config), source, pca, binned, seeds[0])
    counts = standardised_counts(initial, source)
    begin_linear(initial, counts, x, outcomes, patients.patient_id, source, drawn, seeds[0])

    def attempt(n_cells: int) -> BagHazards:
        module = copy.deepcopy(initial)
        epochs = Epochs(source, patient, config, n_cells, seeds[1])
        matrix, weights = (torch.as_tensor(a, dtype=torch.float32) for a in (x, drawn))
        training = BagTraining(module, matrix, binned, weights, config, epochs, listener)
        kept = identified(checkpoint, trainer_config, config, x, outcomes, patients.patient_id, [seed, n_cells])
        run_lightning(training, epochs, trainer_config, config.max_epochs, kept)
        return module

    module = _within_memory(attempt, config.cells_per_sample)
    kind = AttentionNetwork if isinstance(config, AttentionConfig) else SetTransformer
    return kind(module, cells, panel.materials, edges)


def _within_memory(attempt: Callable[[int], BagHazards], n_cells: int) -> BagHazards:
    """Train with so many cells a sample; with half as many, from the start, as often as memory does not suffice."""
    warned = False
    while True:
        try:
            return attempt(n_cells)
        except (RuntimeError, MemoryError) as error:
            if not _lacks_memory(error):
                raise
            if n_cells // 2 < FEWEST_CELLS or n_processes() > 1:  # several cannot begin again together
                msg = f"model.batch_rows: memory does not suffice for {n_cells} cells a sample; choose fewer of either"
                raise SequelaError(msg) from error
        if not warned:
            _log.warning("cells_per_sample: %d do not fit in memory; halved until they do", n_cells)
            warned = True
        n_cells //= 2
        torch.cuda.empty_cache()


def _lacks_memory(error: Exception) -> bool:
    """Whether an error says that memory does not suffice: PyTorch has no kind of its own for that of processors."""
    said = ("DefaultCPUAllocator", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in said)
