"""One store and one small simulated cohort for the whole session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, opened_browser

from experiments.config import RunConfig, load_run
from experiments.home import CONFIGS, Home
from experiments.store import open_store
from features.simulator import simulate


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database at its newest schema: copied, since making one takes seconds."""
    home = Home(tmp_path_factory.mktemp("migrated"))
    open_store(home)
    return home.database


@pytest.fixture
def home(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A store of its own."""
    store = Home(tmp_path / "store")
    store.folder.mkdir()
    shutil.copy(migrated, store.database)
    monkeypatch.setenv("SEQUELA_HOME", str(store.folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return store


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated cohort of 150 patients with few cells."""
    folder = tmp_path_factory.mktemp("cohorts") / "simulated"
    simulate(folder, n_patients=150, cells_per_sample=20, seed=3)
    return folder


@pytest.fixture
def run_config(cohort: Path) -> RunConfig:
    """A Cox run on the small cohort."""
    return load_run(
        CONFIGS / "run" / "cox.yaml",
        [f"cohort={cohort}", "model={kind: cox, penalty: 50}", "validation={folds: 3, bootstrap: 20}"],
    )


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A real Chromium; without one the test is skipped."""
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        if opened is None:
            pytest.skip("no Chromium is installed: pages are not opened in a browser")
        yield opened
