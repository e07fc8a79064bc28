"""Where stores live: one folder, `SEQUELA_HOME`, by default ``./.sequela``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
"""The configurations that come with Sequela."""
RUN_FILE = "run.json"
"""In the folder of each run: how it stands."""


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one store."""

    folder: Path

    @classmethod
    def current(cls) -> Home:
        """The store that the environment names."""
        return cls(Path(os.environ.get("SEQUELA_HOME", ".sequela")).resolve())

    @property
    def database(self) -> Path:
        """MLflow's sqlite database."""
        return self.folder / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking store: `MLFLOW_TRACKING_URI` where it is set, else the database here."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.database}"

    @property
    def mlflow_artifacts(self) -> Path:
        """Where MLflow keeps artifacts of experiments created here."""
        return self.folder / "mlartifacts"

    @property
    def runs(self) -> Path:
        """One folder a run: its folds as they finish, its report, its artifact."""
        return self.folder / "runs"

    @property
    def features(self) -> Path:
        """Feature stores: cells and the sums over them, one folder for each file of cells and processing."""
        return self.folder / "features"

    @property
    def cohorts(self) -> Path:
        """Cohorts made by `sequela demo`."""
        return self.folder / "cohorts"

    def exported_champion(self, endpoint: str) -> Path:
        """Says which model serves an endpoint; running services follow it."""
        return self.folder / "champions" / f"{re.sub(r'[^A-Za-z0-9._-]', '_', endpoint)}.json"

    @property
    def keys(self) -> Path:
        """Keys of applications that call the service."""
        return self.folder / "keys.json"

    @property
    def use(self) -> Path:
        """What services count of what comes, by model and day."""
        return self.folder / "use"

    @property
    def bentoml(self) -> Path:
        """BentoML's model store."""
        return self.folder / "bentoml"
