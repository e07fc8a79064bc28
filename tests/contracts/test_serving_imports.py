"""What a serving process may import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FORBIDDEN = (
    "lightning",
    "mlflow",
    "scanpy",
    "anndata",
    "h5py",
    "zarr",
    "matplotlib",
    "pandas",
    "scipy",
    "sklearn",
    "optuna",
)
OURS = ("features", "training", "experiments", "serving")


def imported_by(statement: str, folder: Path) -> set[str]:
    """Names of all modules in a fresh process after a statement."""
    code = f"{statement}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_service_imports_nothing_that_trains_or_tracks(tmp_path: Path) -> None:
    modules = imported_by("import serving.service", tmp_path)
    assert {"torch", "bentoml", "serving.answer"} <= modules
    assert sorted(modules & set(FORBIDDEN)) == []


def test_of_ours_the_service_imports_what_it_may(tmp_path: Path) -> None:
    ours = {name for name in imported_by("import serving.service", tmp_path) if name.split(".")[0] in OURS}
    assert "training.artifact.folder" in ours
    allowed = ("features", "serving", "training.models")
    beyond = {name for name in ours if not name.startswith(allowed)}
    artifact = {f"training.artifact.{part}" for part in ("folder", "parts", "manifest", "blocks")}
    assert beyond == {"training", "training.artifact", *artifact}


def test_reading_a_network_does_not_import_the_compiler_of_torch(tmp_path: Path) -> None:
    """It takes two seconds of a service's start: torch's meta device does so when anything is drawn there."""
    folder = REPOSITORY / "tests" / "golden" / "artifacts" / "v1"
    read = f"read_artifact(Path({str(folder)!r}))"
    modules = imported_by(
        f"from pathlib import Path; from training.artifact.folder import read_artifact; {read}", tmp_path
    )
    assert "training.models.network" in modules
    assert "torch._dynamo" not in modules


def test_no_model_is_built_on_the_meta_device() -> None:
    models = list((REPOSITORY / "training" / "models").glob("*.py"))
    assert len(models) > 20
    assert [path.name for path in models if '"meta"' in path.read_text()] == []


def test_only_serving_speaks_bentoml(tmp_path: Path) -> None:
    assert "bentoml" not in imported_by("import training.artifact.folder, training.fit", tmp_path)
