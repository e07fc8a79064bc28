"""Pre-training of the in-context network on simulated cohorts, in as many runs, on whatever machines, as there are.

The learning rate stays where it is and falls only at the end of a run; the next run goes on from before the fall, so
that no run has to know how long the whole will be (Hägele et al., NeurIPS 2024). What is learnt from is not what
happened to simulated patients but what was expected to: the truth of the simulation has no noise of its own.

Matrices of the blocks are moved by Muon, whose steps are orthogonal (Jordan et al. 2024; at the scale of AdamW's steps:
Liu et al., arXiv 2502.16982), everything else by AdamW.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from features.errors import SequelaError
from features.schema import Frozen
from training.config import TrainerConfig
from training.loops.checkpoints import Checkpoint
from training.loops.lightning_run import fit_quietly
from training.models.cohort_context import CohortContext, event_edges, expected_loss
from training.models.in_context import InContextModule, InContextSizes
from training.pretrained.weights import read_weights
from training.prior import VERSION, TableBatch, simulate_tables

MOST_NARROW = 10
"""The tables of a step have up to so many columns, or up to more."""


class PretrainingConfig(Frozen):
    """How the network is pre-trained."""

    rows: int = 3000
    """Patients of a step, of all its tables together."""
    fewest_rows: int = 30
    most_rows: int = 3000
    """Patients whose outcomes are read, of one table."""
    most_columns: int = 100
    most_causes: int = 6
    learning_rate: float = 1e-3
    """Of AdamW."""
    matrix_learning_rate: float = 2e-3
    """Of Muon."""
    weight_decay: float = 0.01
    """Of AdamW; Muon's is tenfold."""
    warmup_steps: int = 200
    fall: float = 0.25
    """Share of a run at its end in which the learning rate falls to 0."""
    smoothing: float = 0.99
    """Of the share explained that is told."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far pre-training has come, over all its runs."""

    steps: int = 0
    tables: int = 0
    """Simulated so far, each seen once."""
    hours: Mapping[str, float] = field(default_factory=dict)
    """Of training, by hardware."""

    @property
    def all_hours(self) -> float:
        """Of training, on whatever hardware."""
        return sum(self.hours.values())


@dataclass(frozen=True, slots=True)
class Length:
    """Of a run: whichever is over first."""

    minutes: float = math.inf
    steps: float = math.inf


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a step."""

    step: int
    """Its number, over all runs."""
    loss: float
    explained: float
    """How far between the cohort's own hazards and the true ones the network came, smoothed over steps: 0 to 1."""
    learning_rate: float
    elapsed: float
    """Share of this run that has passed."""


StepListener = Callable[[Told], None]


def true_course(batch: TableBatch, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Events (tables, rows, causes, bins) and exposure (tables, rows, bins), as the simulation knows them.

    Args:
        batch: Simulated tables.
        edges: (tables, bins + 1): of bins, in the tables' time.
    """
    incidence = torch.nn.functional.pad(batch.incidence, (1, 0))
    n_steps = incidence.shape[-1] - 1
    place = (edges * n_steps).clamp(0, n_steps)
    before = place.floor().clamp(max=n_steps - 1)
    share = (place - before)[:, None, None]

    def at(step: Tensor) -> Tensor:
        return incidence.gather(3, step.long()[:, None, None].expand(*incidence.shape[:3], -1))

    at_edges = at(before) * (1 - share) + at(before + 1) * share
    free = 1.0 - at_edges.sum(dim=2)
    return at_edges.diff(dim=-1), (free[..., 1:] + free[..., :-1]) / 2


class Pretraining(pl.LightningModule):
    """One step: simulate tables on the device, read some of their rows, and answer for the others."""

    def __init__(
        self,
        module: InContextModule,
        config: PretrainingConfig,
        length: Length,
        kept: Checkpoint,
        listener: StepListener,
        clip_norm: float,
    ) -> None:
        """Trains for a while, and keeps its state as long as the learning rate has not begun to fall."""
        super().__init__()
        self.module, self.config, self.length, self.kept, self.listener = module, config, length, kept, listener
        self.clip_norm = clip_norm
        self.begun, self.tables = Progress(), 0
        self._gained, self._possible = 0.0, 1e-9
        self.automatic_optimization = False  # Lightning's own knows one optimizer alone
        self._optimizer_states: Sequence[dict[str, Any]] = ()
        self._started, self._falls, self._done = 0.0, False, 0
        self._where = ""

    def go_on(self, held: Mapping[str, Any]) -> None:
        """Go on with what an earlier run kept."""
        self.module.load_state_dict(held["module"])
        self.begun, self._optimizer_states = Progress(**held["progress"]), held["optimizers"]

    def on_fit_start(self) -> None:
        """The clock begins; the optimizers go on where the last run's were before their learning rate fell."""
        self._started, self._where = time.monotonic(), hardware(self.device)
        for optimizer, state in zip(self.trainer.optimizers, self._optimizer_states, strict=False):
            optimizer.load_state_dict(state)

    @property
    def progress(self) -> Progress:
        """Over all runs."""
        hours = self.begun.hours.get(self._where, 0.0) + (time.monotonic() - self._started) / 3600
        done = self.begun.steps + self._done, self.begun.tables + self.tables
        return Progress(*done, {**self.begun.hours, self._where: hours})

    @property
    def elapsed(self) -> float:
        """Share of this run that has passed."""
        minutes = (time.monotonic() - self._started) / 60
        return max(minutes / self.length.minutes, self._done / self.length.steps)

    def training_step(self, number: int) -> None:
        """One step, whose tables depend on the seed and the number of the step."""
        self.module.zero_grad()
        self.manual_backward(self._loss(number))
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.clip_norm)
        for optimizer in self.trainer.optimizers:
            optimizer.step()
        self._done += 1

    def _loss(self, number: int) -> Tensor:
        config, bins = self.config, self.module.sizes.bins
        batch, n_known = simulated(config, self.begun.steps + number, self.device)
        edges = event_edges(batch.time[:, :n_known], batch.cause[:, :n_known], bins)
        time_, cause, entry = (one[:, :n_known] for one in (batch.time, batch.cause, batch.entry))
        context = CohortContext.of(edges, time_, cause, entry, which=1)
        events, exposure = (one[:, n_known:] for one in true_course(batch, edges))
        shift = self.module(batch.x[:, :n_known], batch.there, context, batch.x[:, n_known:])
        base = context.base_hazards()[0][:, None].log()
        loss = expected_loss(base + shift, events[:, :, 0], exposure).mean()
        self._tell(loss.item(), base, events[:, :, 0], exposure)
        self.tables += len(batch.x)
        return loss

    @torch.no_grad()
    def _tell(self, loss: float, base: Tensor, events: Tensor, exposure: Tensor) -> None:
        true = (events / exposure.clamp(min=1e-6)).clamp(min=1e-9).log()
        worst, best = (float(expected_loss(one, events, exposure).mean()) for one in (base, true))
        old = self.config.smoothing
        self._gained, self._possible = old * self._gained + worst - loss, old * self._possible + worst - best
        rate = self.trainer.optimizers[-1].param_groups[0]["lr"]
        self.listener(Told(self.begun.steps + self._done, loss, self._gained / self._possible, rate, self.elapsed))

    def on_train_batch_start(self, batch: int, batch_idx: int) -> int | None:
        """Set the learning rate; stop when the time is over."""
        del batch, batch_idx
        if self.elapsed >= 1.0:
            self.trainer.should_stop = True
            return -1
        falls = self.elapsed >= 1.0 - self.config.fall
        if not self._falls and (falls or self.kept.due()):
            self.kept.write(self._state())
        self._falls = falls
        so_far = self.begun.steps if self._optimizer_states else 0
        warm = min(1.0, (so_far + self._done + 1) / self.config.warmup_steps)
        falling = min(1.0, (1.0 - self.elapsed) / self.config.fall)
        for optimizer, rate in zip(self.trainer.optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * warm * falling
        return None

    @property
    def _rates(self) -> tuple[float, float]:
        return self.config.matrix_learning_rate, self.config.learning_rate

    def _state(self) -> dict[str, Any]:
        states = [optimizer.state_dict() for optimizer in self.trainer.optimizers]
        return {"module": self.module.state_dict(), "optimizers": states, "progress": asdict(self.progress)}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Muon for matrices of the blocks, AdamW for everything else."""
        matrices = [one for one in self.module.blocks.parameters() if one.ndim == 2]
        others = [one for one in self.module.parameters() if not any(one is matrix for matrix in matrices)]
        (of_matrices, of_others), decay = self._rates, self.config.weight_decay
        return [
            torch.optim.Muon(matrices, lr=of_matrices, weight_decay=10 * decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=of_others, weight_decay=decay, betas=(0.9, 0.98)),
        ]


def simulated(config: PretrainingConfig, step: int, device: torch.device) -> tuple[TableBatch, int]:
    """The tables of a step, on a device, and how many rows of each are read; the others are asked about."""
    chance = torch.Generator().manual_seed(config.seed * 1_000_003 + step)

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=chance))

    share = float(torch.rand(1, generator=chance))
    n_known = round(config.fewest_rows * (config.most_rows / config.fewest_rows) ** share)
    n_asked = min(max(n_known // 2, 32), 200)
    widest = min(config.most_columns, max(4, n_known // 3))
    narrowest = min(MOST_NARROW, widest)
    return simulate_tables(
        torch.Generator(device).manual_seed(whole(0, 2**40)),
        n_tables=max(2, config.rows // (n_known + n_asked)),
        n_rows=n_known + n_asked,
        n_columns=round(narrowest * (widest / narrowest) ** float(torch.rand(1, generator=chance))),
        n_causes=whole(1, whole(min(2, config.most_causes), config.most_causes)),
    ), n_known


def pretrain(
    state: Path,
    length: Length,
    trainer: TrainerConfig,
    *,
    weights: Path | None = None,
    sizes: InContextSizes | None = None,
    config: PretrainingConfig | None = None,
    listener: StepListener | None = None,
) -> tuple[InContextModule, Progress]:
    """Begin or continue pre-training.

    Args:
        state: Where the state is kept from which the next run goes on, whatever its configuration.
        length: Of this run.
        trainer: Accelerator, devices, precision.
        weights: To go on from where no state is kept; none: at random ones.
        sizes: Of the network.
        config: How it is trained.
        listener: Told of every step.

    Raises:
        SequelaError: The state is another network's or version's; or the trainer is asked for what these steps do not
            do.

    Returns:
        The network at the end of this run's fall, and what all runs together have done.
    """
    _check(trainer)
    config = config or PretrainingConfig()
    module, begun = _begin(weights, sizes or InContextSizes(), config.seed)
    kept = Checkpoint(state, f"prior {VERSION}, {asdict(module.sizes)}, Muon", trainer.checkpoint_seconds)
    told = listener or (lambda told: None)
    training = Pretraining(module, config, length, kept, told, trainer.gradient_clip_norm)
    training.begun = begun
    if (held := kept.read()) is not None:
        training.go_on(held)
    elif state.exists():
        msg = f"{state}: is no state of this network and optimizer; name another file, or remove it to begin anew"
        raise SequelaError(msg)
    fit_quietly(training, _Steps(), trainer, devices=trainer.devices, max_epochs=1, deterministic=trainer.deterministic)
    return module, training.progress


def _check(trainer: TrainerConfig) -> None:
    """Refuse what steps by hand, on tables of another size each, do not do."""
    msg = None
    if trainer.precision == "16-mixed":
        msg = "trainer.precision: 16-mixed scales its loss, which steps by hand do not; choose bf16-mixed"
    elif trainer.compile:
        msg = (
            "trainer.compile: pre-training is not compiled, for its tables are of another size each; leave it at false"
        )
    elif trainer.accumulate_batches > 1:
        n = trainer.accumulate_batches
        msg = (
            f"trainer.accumulate_batches: {n}, but each step of pre-training is one batch; leave it at 1, and set rows"
        )
    if msg is not None:
        raise SequelaError(msg)


def _begin(weights: Path | None, sizes: InContextSizes, seed: int) -> tuple[InContextModule, Progress]:
    """A network with given weights and what they took, or with random ones."""
    if weights is not None:
        module, origin = read_weights(weights)
        return module.train(), Progress(origin.steps, origin.tables, origin.hours)
    module = InContextModule(sizes)
    module.initialise(torch.Generator().manual_seed(seed))
    return module, Progress()


def hardware(device: torch.device) -> str:
    """What a device is, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} core{'s' * (threads > 1)} of a processor ({platform.machine()})"


class _Steps(IterableDataset[int]):
    """Numbers of steps, without end."""

    def __iter__(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1
