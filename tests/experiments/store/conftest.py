"""A tracking server as hospitals run it: MLflow with basic-auth on PostgreSQL; one for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tracking_servers import MlflowServer, postgres

from experiments.config import RunConfig, load_run
from experiments.home import CONFIGS, Home
from experiments.store import delivery
from features.simulator import simulate


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliver more often than in long runs."""
    monkeypatch.setattr(delivery, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE_SECONDS", 1.0)


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with postgres() as store:
        server = MlflowServer(store, tmp_path_factory.mktemp("mlflow") / "server")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def server(one_server: MlflowServer, home: Home, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """The server, as the store of `home`."""
    for name, value in one_server.environment.items():
        monkeypatch.setenv(name, value)
    return one_server


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run of a network that takes seconds."""
    folder = tmp_path_factory.mktemp("cohorts") / "tiny"
    simulate(folder, n_patients=100, cells_per_sample=0, seed=5)
    network = "model={kind: network, members: 2, hidden: 4, max_epochs: 5}"
    small = ["validation={folds: 2, bootstrap: 20}", "trainer.accelerator=cpu"]
    return load_run(CONFIGS / "run" / "network.yaml", [f"cohort={folder}", network, *small])
