"""Whole runs in processes of their own, which start at once: a server of processes has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from experiments.config import RunConfig
from experiments.home import Home
from experiments.store import sync
from features.errors import SequelaError

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["experiments.train", "training.loops.lightning_run", "matplotlib.pyplot", "mlflow.pyfunc"]
)


def start_run(
    config: RunConfig, home: Home, environment: Mapping[str, str], *, resume: bool = False, beside: bool = False
) -> BaseProcess:
    """Start `sequela train` on a configuration, in a process of its own, with a courier in it or in one beside it."""
    process = _PROCESSES.Process(target=_train, args=(config, home.folder, dict(environment), resume, beside))
    process.start()
    return process


def deliver_all(home: Home) -> None:
    """Deliver what a server that is out of breath did not take at the end of a run."""
    for _ in range(20):
        try:
            list(sync(home))
        except SequelaError:
            time.sleep(1)
        else:
            return
    pytest.fail("the server does not take what waits")


def _train(config: RunConfig, home: Path, environment: dict[str, str], resume: bool, beside: bool) -> None:
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # which MLflow sets itself, to the store of an earlier test
    os.environ.update(environment)
    import torch

    from experiments.courier import CourierProcess, courier_here
    from experiments.progress import Progress
    from experiments.train import train

    torch.set_num_threads(1)
    with CourierProcess(Home(home)) if beside else courier_here(Home(home)) as courier:
        train(config, Home(home), Progress(cells=_nothing, folds=_nothing), resume=resume, courier=courier)


def _nothing(done: int, of: int) -> None:
    """Of the progress."""
