"""`sequela pretrain`: a tracked run that a second one goes on with, a file of weights, and a run that uses them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch
from preloaded import SEQUELA

from experiments.home import CONFIGS, Home
from experiments.store import find_run, open_store
from training.artifact.folder import read_artifact
from training.models.in_context_predictor import InContext
from training.pretrained import read_weights

FEW = ("--steps", "40", "--set", "rows=300", "--set", "most_rows=60", "--set", "trainer.accelerator=cpu")


def sequela(*words: str | Path) -> str:
    """Run the command; stderr, in which it says what it did."""
    done = subprocess.run([SEQUELA, *map(str, words)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_pretraining_is_tracked_goes_on_and_is_used(home: Home, cohort: Path, tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    for steps in (40, 70):
        said = sequela("pretrain", *FEW, "--out", weights)
        assert f"{steps} steps" in said, "the second goes on from before the fall of the first one's learning rate"
    client = open_store(home)
    run = find_run(client, "mine")
    assert (run.info.status, run.data.metrics["steps"]) == ("FINISHED", 70)
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [40, 60]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["mine.safetensors"]
    module, origin = read_weights(weights)
    assert origin.steps == 70
    said = sequela("pretrain", *FEW, "--weights", weights, "--out", tmp_path / "elsewhere.safetensors")
    assert "110 steps" in said, "where there are weights and no state, it goes on from the weights"

    settings = (f"cohort={cohort}", f"model.weights={weights}", "validation={folds: 2, bootstrap: 20}")
    words = [word for setting in settings for word in ("--set", setting)]
    sequela("train", CONFIGS / "run" / "in_context.yaml", *words)
    used = read_artifact(home.runs / find_run(client, "in_context").info.run_id / "artifact").model.predictor
    assert isinstance(used, InContext)
    assert torch.equal(used.module.head.weight, module.head.weight)


def test_how_long_must_be_said(home: Home) -> None:
    done = subprocess.run([SEQUELA, "pretrain"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, home.runs.exists()) == (1, False)
    assert done.stderr.strip() == "sequela: pretrain: say how long: --minutes 60, or --steps 2000"
