"""Rules on the repository itself."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("features", "training", "experiments", "serving")


@pytest.mark.parametrize("name", PACKAGES)
def test_our_packages_are_ours(name: str) -> None:
    """The names are generic: something else installed under one of them would be imported silently."""
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).parents[1] == REPOSITORY


def test_no_module_loads_pickles() -> None:
    forbidden = re.compile(r"\b(import pickle|joblib|cloudpickle|dill|torch\.load|allow_pickle=True)\b")
    offenders = [
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if forbidden.search(path.read_text(encoding="utf-8"))
    ]
    assert offenders == []


def test_no_random_state_is_global() -> None:
    seeded = re.compile(
        r"np\.random\.(seed|rand|randn|randint|permutation|shuffle|choice)\(|torch\.manual_seed\(|random\.seed\("
    )
    offenders = [
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if seeded.search(path.read_text(encoding="utf-8"))
    ]
    assert offenders == []


def test_the_serving_image_carries_no_training_library() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("\ndependencies = [")[1].split("\n]")[0]
    assert not re.search(r"lightning|mlflow|scanpy|anndata|pandas|matplotlib", block)
