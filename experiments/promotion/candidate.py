"""The run that would serve, and what a gate asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.home import Home
from experiments.promotion.paired import Paired, paired
from experiments.promotion.registry import run_artifact
from experiments.run_files import report_file
from training.artifact.folder import Artifact, read_artifact


@dataclass
class Candidate:
    """A run that would serve; its files are read when they are asked for."""

    client: MlflowClient
    home: Home
    run: Run
    cohort: Path | None = None
    """Where its cohort lies now, if not where it was."""

    @cached_property
    def artifact(self) -> Artifact:
        """Verified.

        Raises:
            SequelaError: It is refused.
        """
        return read_artifact(run_artifact(self.client, self.run))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores of the event of interest; horizon_days is NaN for those over all times.

        Raises:
            SequelaError: They are gone.
        """
        table = pd.read_csv(report_file(self.client, self.home, self.run, "scores.csv"))
        return table[table["cause"] == self.run.data.tags["sequela.cause"]]

    def predictions(self, *others: Run) -> Paired:
        """What it, and other runs, predicted for the same rows.

        Raises:
            SequelaError: They cannot be set against each other, or the cohort is gone or was changed.
        """
        return paired(self.client, self.home, [self.run, *others], self.artifact.manifest.endpoint, self.cohort)
