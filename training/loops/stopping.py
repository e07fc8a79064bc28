"""What all training has in common: the best state is kept, and training stops when none better has come for a while."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from training.loops.checkpoints import Checkpoint

EpochListener = Callable[[int, float, float], None]
"""Called after each epoch with epoch, training loss and the mean loss of patients who were not trained on."""


class StoppedTraining(pl.LightningModule):
    """Training scored after each epoch on patients it does not learn from.

    `kept` holds the best state so far, name by name; `best` its score, `stale` the epochs since.
    """

    best: Tensor

    def __init__(self, module: nn.Module, best: Tensor, patience: int, listener: EpochListener | None) -> None:
        """`best` is infinite, in the shape in which scores come."""
        super().__init__()
        self.module, self.patience, self.listener = module, patience, listener
        self.register_buffer("best", best, persistent=False)
        self.kept = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.stale, self.first_epoch, self.loss_sum = 0, 0, 0.0
        self.checkpoint: Checkpoint | None = None
        self._held: Mapping[str, Any] | None = None

    @abstractmethod
    def score(self) -> Tensor:
        """Score what is trained, in the shape of `best`; keep what is better, and count `stale`."""

    def generators(self) -> Sequence[torch.Generator]:
        """Those that training draws from."""
        return ()

    def mean_loss(self) -> float:
        """Training loss of the epoch that ended."""
        return self.loss_sum

    def on_train_start(self) -> None:
        """Where training begins is the first of the states to choose from; or else it goes on where it was."""
        if self._held is None:
            self.score()
            return
        self.trainer.optimizers[0].load_state_dict(self._held["optimizer"])
        self.best = self.best.to(self.device)
        self._held = None

    def on_train_epoch_end(self) -> None:
        """Score, tell the listener, stop when nothing gets better, keep how far it is."""
        score, epoch = self.score(), self.first_epoch + self.current_epoch
        loss = float(self.trainer.strategy.reduce(torch.tensor(self.mean_loss(), device=self.device), reduce_op="sum"))
        if self.listener is not None:
            self.listener(epoch, loss, float(score.mean()))
        self.loss_sum = 0.0
        if self.stale >= self.patience:
            self.trainer.should_stop = True
        if self.checkpoint is not None and self.checkpoint.due():
            self.checkpoint.write(self._state(epoch + 1))

    def _state(self, epoch: int) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "stopped": self.stale >= self.patience,
            "module": self.module.state_dict(),
            "kept": self.kept,
            "best": self.best,
            "stale": self.stale,
            "generators": [generator.get_state() for generator in self.generators()],
            "optimizer": self.trainer.optimizers[0].state_dict(),
        }

    def go_on(self, held: Mapping[str, Any]) -> None:
        """Take up a state that a checkpoint held."""
        self.module.load_state_dict(held["module"])
        self.kept, self.best, self.stale = dict(held["kept"]), held["best"], held["stale"]
        for generator, state in zip(self.generators(), held["generators"], strict=True):
            generator.set_state(state)
        self.first_epoch, self._held = held["epoch"], held

    def finish(self) -> None:
        """Leave the best state in the module, on the CPU."""
        module = self.module.cpu()
        module.load_state_dict({name: value.cpu() for name, value in self.kept.items()})
