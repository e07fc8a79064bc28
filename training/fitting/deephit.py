"""Fitting DeepHit with Lightning: likelihood and ranking loss, stopped on patients held out of the training fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.outcomes import Outcomes
from training.config import DeepHitConfig, TrainerConfig
from training.fitting.binning import bin_edges
from training.fitting.event_intervals import EventIntervals, event_intervals
from training.loops.batches import RowBatch, RowBatches
from training.loops.lightning_run import identified, run_lightning
from training.loops.processes import n_processes
from training.loops.stopping import EpochListener, StoppedTraining
from training.models.deephit import DeepHit, DeepHitModule, DeepHitSizes, Dropout
from training.models.layers import Dense
from training.models.nonparametric import aalen_johansen

HELD_OUT = 0.2
"""Share of the patients on whom training is stopped."""
SMALLEST_SURVIVAL = 1e-7
SMALLEST_MASS = 1e-3
"""From which a bin's logit starts, where patients enter late: a cause not seen in a bin is not impossible there."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where rows lie in the bins."""

    cause: Tensor
    """(rows,): 0 = censored."""
    bin: Tensor
    """(rows,): bin of the row's end."""
    gone: Tensor
    """(rows,): share of that bin gone by then."""
    entry_bin: Tensor
    """(rows,): bin of entry."""
    entry_gone: Tensor
    """(rows,)."""
    intervals: EventIntervals | None = None
    """Of events known to lie between two days, whose `bin` is that of the later one; None: there are none."""

    def take(self, rows: Tensor) -> Places:
        """Some of the rows."""
        return self._each(lambda values: values[rows])

    def to(self, device: torch.device) -> Places:
        """The same on a device."""
        return self._each(lambda values: values.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Places:
        intervals = None if self.intervals is None else EventIntervals(*map(change, self.intervals))
        cause, gone, entry_gone = change(self.cause), change(self.gone), change(self.entry_gone)
        return Places(cause, change(self.bin), gone, change(self.entry_bin), entry_gone, intervals)


def survival(log_pmf: Tensor, bins: Tensor, gone: Tensor, n_causes: int) -> Tensor:
    """(rows,): probability of no event by a share of a bin, the mass of a bin lying evenly in it."""
    by_bin = log_pmf[:, :-1].exp().reshape(len(log_pmf), n_causes, -1).sum(dim=1)
    before = by_bin.cumsum(dim=1) - by_bin
    rows = torch.arange(len(log_pmf), device=log_pmf.device)
    return (1.0 - before[rows, bins] - gone * by_bin[rows, bins]).clamp(min=SMALLEST_SURVIVAL)


def likelihood_loss(log_pmf: Tensor, places: Places, n_causes: int) -> Tensor:
    """(rows,): L1 of Lee et al. 2018, equation 3: −log P(cause, bin), or −log S where censored; over S at entry.

    Of an event between two days, −log of the mass of its cause in between, that of a bin lying evenly in it.
    """
    n_bins = (log_pmf.shape[1] - 1) // n_causes
    rows = torch.arange(len(log_pmf), device=log_pmf.device)
    of_event = log_pmf[rows, (places.cause - 1).clamp(min=0) * n_bins + places.bin]
    if places.intervals is not None:
        own = places.intervals.cause.nonzero()[:, 0]
        by_bin = log_pmf[:, :-1].reshape(len(log_pmf), n_causes, -1)[own, places.cause[own] - 1]
        within = torch.logsumexp(by_bin + places.intervals.share[own].log(), dim=1)
        of_event = of_event.index_put((own,), within)
    stayed = survival(log_pmf, places.bin, places.gone, n_causes).log()
    entered = survival(log_pmf, places.entry_bin, places.entry_gone, n_causes).log()
    return entered - torch.where(places.cause > 0, of_event, stayed)


def ranking_loss(log_pmf: Tensor, places: Places, n_causes: int, sigma: float) -> Tensor:
    """(): L2 of Lee et al. 2018, section 3: Σ_k mean over pairs of exp(−(F_k(s_i|x_i) − F_k(s_i|x_j)) / σ).

    Pairs (i, j): i has the event of cause k in bin s_i, j is still at risk after it, and was under observation at it:
    had j had the event before entry, nobody would have seen it. The mean is over all pairs of the batch, those that do
    not count as 0. Events between two days are ranked by the day they were seen.
    """
    incidence = log_pmf[:, :-1].exp().reshape(len(log_pmf), n_causes, -1).cumsum(dim=2)
    later = (places.bin[None, :] > places.bin[:, None]) | (
        (places.bin[None, :] == places.bin[:, None]) & (places.cause[None, :] == 0)
    )
    later &= (places.entry_bin + places.entry_gone)[None, :] < (places.bin + places.gone)[:, None]
    at_event = incidence[:, :, places.bin]  # (row j, cause, row i): F_k(s_i | x_j)
    total = log_pmf.new_zeros(())
    for k in range(n_causes):
        of_others = at_event[:, k].T
        own = of_others.diagonal()[:, None]
        counts = later & (places.cause == k + 1)[:, None]
        total = total + (torch.exp((of_others - own) / sigma) * counts).mean()
    return total


def places(outcomes: Outcomes, edges_days: NDArray[np.float64]) -> Places:
    """Where rows lie in the bins; a bin (start, end] holds the events up to and including its end."""
    entry = np.maximum(outcomes.entered, 0.0)
    end_bin, end_gone = _bin_and_share(outcomes.duration_days, edges_days)
    entry_bin, entry_gone = _bin_and_share(entry, edges_days)
    cause = np.where(outcomes.duration_days <= edges_days[-1], outcomes.cause, 0)
    own = (cause > 0) & (entry_bin == end_bin) & ~outcomes.in_interval
    entry_gone = np.where(own, 0.0, entry_gone)  # as at the bin's start, or P(event | entry) could exceed 1
    numbers = (torch.as_tensor(a, dtype=torch.long) for a in (cause, end_bin, entry_bin))
    shares = (torch.as_tensor(a, dtype=torch.float32) for a in (end_gone, entry_gone))
    (cause_t, end_t, entry_t), (gone_t, entry_gone_t) = numbers, shares
    return Places(cause_t, end_t, gone_t, entry_t, entry_gone_t, event_intervals(outcomes, edges_days))


def _bin_and_share(
    days: NDArray[np.float64], edges_days: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    bins = np.clip(np.searchsorted(edges_days, days, side="left") - 1, 0, len(edges_days) - 2)
    return bins, np.clip((days - edges_days[bins]) / np.diff(edges_days)[bins], 0.0, 1.0)


class DeepHitTraining(StoppedTraining):
    """Training on some of the patients, kept at the best epoch for the others.

    Pairs of a batch are ranked, so that several processes see whole batches, and do the same.
    """

    module: DeepHitModule

    def __init__(
        self,
        module: DeepHitModule,
        x: Tensor,
        at: Places,
        held_out: Tensor,
        config: DeepHitConfig,
        listener: EpochListener | None,
    ) -> None:
        """`held_out` is (rows held out,): on which training is stopped."""
        super().__init__(module, torch.tensor(torch.inf), config.patience, listener)
        self.x, self.at, self.held_out, self.config = x, at, held_out, config
        self.losses = list[float]()

    def setup(self, stage: str) -> None:
        """Data go where the network goes."""
        del stage
        self.x = self.x.to(self.device)
        self.at = self.at.to(self.device)

    def loss(self, rows: Tensor) -> Tensor:
        """(): likelihood and ranking loss of some rows, each a mean."""
        log_pmf, at = self.module(self.x[rows]).float(), self.at.take(rows)
        n_causes = self.module.sizes.n_causes
        ranking = ranking_loss(log_pmf, at, n_causes, self.config.sigma)
        return likelihood_loss(log_pmf, at, n_causes).mean() + self.config.ranking * ranking

    def training_step(self, batch: RowBatch, _: int) -> Tensor:
        """Loss of a mini-batch."""
        loss = self.loss(batch.rows)
        self.losses.append(float(loss.detach()))
        return loss

    def mean_loss(self) -> float:
        """Mean of the epoch's batches: this process's part of the sum over processes."""
        mean = float(np.mean(self.losses)) / n_processes()
        self.losses.clear()
        return mean

    def generators(self) -> Sequence[torch.Generator]:
        """Of dropout."""
        return [layer.generator for layer in self.module.modules() if isinstance(layer, Dropout)]

    @torch.no_grad()
    def score(self) -> Tensor:
        """Score the rows held out; keep what is better."""
        self.module.eval()
        score = self.trainer.strategy.broadcast(self.loss(self.held_out.to(self.device)))
        self.module.train()
        self.stale += 1
        if score < self.best:
            self.best, self.stale = score, 0
            self.kept = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        return score

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        rate, decay = self.config.learning_rate, self.config.weight_decay
        return torch.optim.AdamW(self.module.parameters(), lr=rate, weight_decay=decay)


@torch.no_grad()
def begin_marginal(module: DeepHitModule, outcomes: Outcomes, edges_days: NDArray[np.float64]) -> None:
    """Set the last biases so that training begins at the Aalen–Johansen incidences of these rows.

    Bins hold equal shares of the events seen, and a network that begins even over bins begins near the truth; where
    patients enter late, early events are seen less often than they happen, and training stops before it has found out.

    Args:
        module: Changed in place.
        outcomes: Of the rows, left-truncated.
        edges_days: (bins + 1,).
    """
    at_edges = aalen_johansen(outcomes).at(edges_days)
    none = max(1.0 - float(at_edges[:, -1].sum()), SMALLEST_MASS)
    logits = np.log(np.maximum(np.diff(at_edges, axis=1), SMALLEST_MASS) / none)
    for branch, own in zip(module.own, logits, strict=True):
        last = list(branch.children())[-1]
        assert isinstance(last, Dense)  # noqa: S101 - for the type checker
        last.bias.copy_(torch.as_tensor(own, dtype=torch.float32))


def fit_deephit(
    x: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: NDArray[np.object_],
    config: DeepHitConfig,
    trainer_config: TrainerConfig,
    *,
    seed: int,
    listener: EpochListener | None = None,
    checkpoint: Path | None = None,
) -> DeepHit:
    """Fit DeepHit on encoded patients.

    Args:
        x: Standardised features (rows, features).
        outcomes: Outcomes of the rows, possibly left-truncated.
        patient_id: (rows,): rows of one patient are held out together.
        config: The network.
        trainer_config: Accelerator, devices, precision.
        seed: Of initial weights, dropout, patients held out and mini-batches.
        listener: Told the losses of each epoch, those of the patients held out in the place of out-of-bag ones.
        checkpoint: File in which an unfinished fit keeps how far it is; the fit of the same data goes on there.

    Raises:
        SequelaError: There is no event.
    """
    rng = np.random.default_rng(seed)
    edges = bin_edges(outcomes, config.bins, config.kind)
    sizes = DeepHitSizes(x.shape[1], len(outcomes.causes), len(edges) - 1, config.shared, config.own)
    module = DeepHitModule(sizes, config.dropout)
    module.initialise(torch.Generator().manual_seed(int(rng.integers(2**31))))
    if outcomes.entry_days is not None:
        begin_marginal(module, outcomes, edges)
    _, patient = np.unique(patient_id.astype(str), return_inverse=True)
    order = rng.permutation(patient.max() + 1)
    out = np.isin(patient, order[: round(HELD_OUT * len(order))])
    training_rows, held_out = (
        np.flatnonzero(out == held) if out.any() else np.arange(len(x)) for held in (False, True)
    )
    matrix = torch.as_tensor(x, dtype=torch.float32)
    training = DeepHitTraining(module, matrix, places(outcomes, edges), torch.as_tensor(held_out), config, listener)
    batches = RowBatches(training_rows, config.batch_rows, int(rng.integers(2**31)), shared_out=False)
    kept = identified(checkpoint, trainer_config, config, x, outcomes, patient_id, seed)
    run_lightning(training, batches, trainer_config, config.max_epochs, kept)
    return DeepHit(module, edges)
