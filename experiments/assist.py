"""What processes beside the leading one do in a run under torchrun: the same fits, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.config import RunConfig
from experiments.crossval import Unheard, asks_models_again, cross_validate, held_out_models
from experiments.data import rows_of_run
from experiments.final_fit import fit_on_everyone
from experiments.home import Home
from experiments.pipeline_test import pipeline_test
from experiments.progress import Progress
from experiments.train import PERMUTED
from training.loops.processes import from_leader, wait
from training.models.risk_model import FittedRiskModel


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
        kept: dict[int, FittedRiskModel] | None = {} if asks_models_again(config) else None
        cross_validate(rows, config, folds, Unheard(), kept=kept)
        if kept is not None:
            held_out_models(rows, config, folds, kept)
        pipeline_test(rows, config, folds / PERMUTED)
        fit_on_everyone(rows, config, folds, Progress(cells=_nothing, folds=_nothing))


def _nothing(done: int, of: int) -> None:
    """Of the progress."""
