"""The Bento: built from this checkout, served where the project is not installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from server_workers import BACK_SECONDS, NOTICED_SECONDS, killed_and_back

from serving.store import publish
from training.artifact.folder import Artifact

REPOSITORY = Path(__file__).resolve().parents[2]
INSIDE = "/home/bentoml/bento"
"""Where the Bento lies in the image."""


def index_answers() -> bool:
    """Whether a package index can be asked, as `bentoml build` does."""
    command = [sys.executable, "-m", "pip", "index", "versions", "numpy"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, server_env: dict[str, str]) -> str:
    """An interpreter with the libraries of this environment, and without the project."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    own = sysconfig.get_path("purelib", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")})
    # .pth files within a folder that a .pth file names are not read: an editable install does not come along.
    (Path(own) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    env = {k: v for k, v in server_env.items() if k != "PYTHONPATH"}
    tried = subprocess.run(
        [python, "-c", "import torch, features"], cwd=folder, env=env, capture_output=True, check=False
    )
    assert b"No module named 'features'" in tried.stderr
    script = python.with_name("bentoml")
    script.write_text(f"#!{python}\nfrom bentoml_cli.cli import cli\n\ncli()\n")
    script.chmod(0o755)
    return str(python)


@pytest.fixture(scope="module")
def bento(
    artifact_dir: Path, tmp_path_factory: pytest.TempPathFactory, server_env: dict[str, str]
) -> tuple[Path, str, str]:
    """BENTOML_HOME, the Bento's tag, and the tag of the model built into it. A later model lies in the store, too."""
    home = tmp_path_factory.mktemp("bentos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(home))
        model = publish(artifact_dir, {"registry_version": "7"})
    env = server_env | {"BENTOML_HOME": str(home), "SEQUELA_MODEL": model}
    command = [sys.executable, "-m", "bentoml", "build", "--output", "tag"]
    built = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120, check=False)
    if "Failed to lock PyPI packages" in built.stderr and not index_answers():
        pytest.skip("no package index to lock the image's versions with")
    assert built.returncode == 0, built.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(home))
        publish(artifact_dir, {"registry_version": "8"})
    return home, built.stdout.strip().removeprefix("__tag__:"), model


def test_the_bento_holds_what_serving_needs_and_nothing_that_trains(bento: tuple[Path, str, str]) -> None:
    home, tag, model = bento
    folder = home / "bentos" / tag.replace(":", "/")
    files = {str(p.relative_to(folder / "src")) for p in (folder / "src").rglob("*.py")}
    assert {
        "serving/service.py",
        "features/request.py",
        "training/artifact/folder.py",
        "training/models/cox.py",
    } <= files
    assert not [f for f in files if f.startswith(("experiments", "tests", "training/evaluation"))]
    assert "training/fit.py" not in files
    assert {path.name for path in (folder / "src" / "serving" / "page").iterdir()} == {
        path.name for path in (REPOSITORY / "serving" / "page").iterdir()
    }
    assert f"tag: {model}\n" in (folder / "bento.yaml").read_text()
    below = {f.split("/")[1] for f in files if f.startswith("features/") and f.count("/") > 1}
    assert below == {"cells", "scores"}  # no importer, no simulator


def test_the_image_gets_the_tested_versions_of_what_serving_needs(bento: tuple[Path, str, str]) -> None:
    home, tag, _ = bento
    text = (home / "bentos" / tag.replace(":", "/") / "env" / "python" / "requirements.txt").read_text()
    locked = {line.split("==")[0]: line for line in text.splitlines() if "==" in line}
    tested = set((REPOSITORY / "constraints.txt").read_text().splitlines())
    for name in ("numpy", "pydantic", "safetensors", "torch", "bentoml"):
        assert locked[name] in tested
    assert not {"lightning", "mlflow", "anndata", "pandas"} & set(locked)


@pytest.fixture(scope="module")
def image(bento: tuple[Path, str, str], elsewhere: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a container of the Bento, as its Dockerfile says, for the folder in which it lies."""
    home, tag, _ = bento
    folder = home / "bentos" / tag.replace(":", "/")
    text = (folder / "env" / "docker" / "Dockerfile").read_text()
    entry = re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)[-1]
    command = [word.replace(INSIDE, str(folder)) for word in json.loads(entry)]
    assert "BENTOML_CONTAINERIZED=true" in text
    path = f"{Path(elsewhere).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "BENTO_PATH": str(folder), "BENTOML_HOME": str(home), "BENTOML_CONTAINERIZED": "true"}
    return ["bash", *command], env


def test_the_image_answers_where_the_project_is_not_installed(
    bento: tuple[Path, str, str], image: Any, serve: Any, artifact: Artifact, tmp_path: Path
) -> None:
    _, _, model = bento
    with serve(tmp_path, *image) as server, server.client() as client:
        card = client.get("/v1/model").json()
        response = client.post("/v1/predict", content=json.dumps(card["example"]["request"]))
        listed = client.get("/v1/scores").json()["scores"]
    assert response.status_code == 200
    assert "car_hematotox" in [score["name"] for score in listed]
    assert response.json()["model"]["version"] == model  # the one built in, not the latest of the store
    incidence = response.json()["predictions"][0]["incidence"]
    for expected, given in zip(artifact.manifest.example.incidence, incidence.values(), strict=True):
        assert given == pytest.approx(expected, abs=1e-6)


def test_a_killed_worker_of_the_image_comes_back(image: Any, serve: Any, tmp_path: Path) -> None:
    command, env = image
    with serve(tmp_path, command, env | {"SEQUELA_WORKERS": "2"}) as server:
        replaced, back = killed_and_back(server)
    assert replaced < NOTICED_SECONDS
    assert back < BACK_SECONDS
