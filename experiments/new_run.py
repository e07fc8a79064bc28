"""A new run's YAML, from which a researcher starts: every key there is, with its meaning and its default."""

from __future__ import annotations

import os
from pathlib import Path

from experiments.commented import commented_yaml
from experiments.config import RunConfig
from experiments.home import CONFIGS
from features.documents import validate
from features.errors import SequelaError

AROUND_ANOTHER = ("recalibrated", "with_intervals")
"""Kinds of models that must be told which model they are made around; a new file says Cox."""


def new_run_yaml(kind: str, cohort: Path, endpoint: Path, name: str, folder: Path) -> str:
    """A commented configuration for one kind of model; everything else has its default.

    Args:
        kind: Of the model, ours or an installed package's.
        cohort: Its folder; a relative path counts from the current folder.
        endpoint: Its YAML; likewise.
        name: Of the run.
        folder: Where the file will stand: relative paths are written so that they count from there.

    Raises:
        SequelaError: No model has the kind; names the nearest.
    """
    paths = {"cohort": _from(folder, cohort), "endpoint": _from(folder, endpoint)}
    content = {"name": name, "experiment": endpoint.stem, **paths, "model": smallest_model(kind)}
    config = validate(content, RunConfig, f"--model {kind}")
    return f"# yaml-language-server: $schema={CONFIGS / 'schema' / 'run.json'}\n{commented_yaml(config)}"


def smallest_model(kind: str) -> dict[str, object]:
    """The block of a model in which everything has its default."""
    return {"kind": kind} | ({"model": {"kind": "cox"}} if kind in AROUND_ANOTHER else {})


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        SequelaError: It is there.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        msg = f"{path}: exists and is not overwritten; choose another name, or remove it first"
        raise SequelaError(msg) from error


def _from(folder: Path, path: Path) -> str:
    """A relative path as it counts from a folder; an absolute one as it is."""
    return str(path) if path.is_absolute() else os.path.relpath(path.resolve(), folder.resolve())
