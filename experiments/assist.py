"""What processes beside the leading one do in a run under torchrun: the same fits, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import cross_validate
from experiments.data import rows_of_run
from experiments.home import Home
from experiments.train import Progress, fit_on_everyone
from training.processes import from_leader, wait
from training.splits import Fold


class Unheard:
    """Nobody is told: the leading process tells."""

    def fold_started(self, fold: Fold) -> None:
        """A fold begins."""

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        """An epoch ended."""

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        """A fold ended."""


def assist(config: RunConfig, home: Home) -> None:
    """Take part in every fit of the leading process's run; what has been done of it is skipped here too.

    Args:
        config: The resolved configuration, the same in every process.
        home: The stores, on a disk that all processes see.
    """
    folder = Path(from_leader(""))  # comes when the leading process has stored the cells' features
    rows = rows_of_run(config, home)
    with TemporaryDirectory() as own:
        folds = Path(own) / "folds"
        if (folder / "folds").exists():
            shutil.copytree(folder / "folds", folds)
        wait()
        cross_validate(rows, config, folds, Unheard())
        fit_on_everyone(rows, config, folds, Progress(cells=_nothing, folds=_nothing))


def _nothing(done: int, of: int) -> None:
    """Of the progress."""
