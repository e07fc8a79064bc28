"""Our models, as the configurations a user would write.

No table has settings of its own; defaults were chosen with these tables in view.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from benchmarks.accuracy.tables import FEATURES
from experiments.data import TrainingRows
from training.config import InContextConfig, MixtureConfig, ModelConfig, TrainerConfig, single_models
from training.fit import fit_risk_model
from training.pretrained import SHIPPED
from training.splits import Fold

ROOT = Path(__file__).parents[2]
CPU = TrainerConfig(accelerator="cpu")
FITTED_BY = {
    "aalen_johansen": "training.models.aalen_johansen",
    "cox": "training.models.cox",
    "fine_gray": "training.models.fine_gray",
    "forest": "training.fitting.forest",
    "boosting": "training.fitting.boosting",
    "network": "training.fitting.network",
    "deephit": "training.fitting.deephit",
    "in_context": "training.fitting.in_context",
}
"""Where each kind is fitted."""
FOUR = ("cox", "network", "forest", "boosting")
"""Members of the mixture."""
TUNED = {"kind": "in_context", "tuning_steps": 20}
OURS: Mapping[str, ModelConfig] = {
    name: TypeAdapter(ModelConfig).validate_python(block)
    for name, block in {
        "aalen_johansen": {"kind": "aalen_johansen"},
        "cox": {"kind": "cox"},
        "elastic net": {"kind": "cox", "l1_ratio": 0.5},
        "fine_gray": {"kind": "fine_gray"},
        "forest": {"kind": "forest"},
        "boosting": {"kind": "boosting"},
        "network": {"kind": "network"},
        "deephit": {"kind": "deephit"},
        "in_context": {"kind": "in_context"},
        "in_context, fine-tuned": TUNED,
        "mixture": {
            "kind": "mixture",
            "members": [{"kind": kind} for kind in FOUR],
        },
        "mixture with in_context": {
            "kind": "mixture",
            "members": [{"kind": kind} for kind in (*FOUR, "in_context")],
        },
        "mixture with in_context, fine-tuned": {
            "kind": "mixture",
            "members": [*({"kind": kind} for kind in FOUR), TUNED],
        },
        "stacked": {
            "kind": "mixture",
            "weights": "stacked",
            "members": [{"kind": kind} for kind in FOUR],
        },
    }.items()
}

POOLED: Mapping[str, tuple[str, ...]] = {
    "mixture": FOUR,
    "mixture with in_context": (*FOUR, "in_context"),
    "mixture with in_context, fine-tuned": (*FOUR, "in_context, fine-tuned"),
}
"""Mixtures with equal weights: their members are fitted as they are alone, on the same rows with the same seed, so that
the mixture is the mean of their predictions."""


def predict(model: ModelConfig, rows: TrainingRows, fold: Fold, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Incidences (test rows, causes, times); encoder and model are fitted on the training rows."""
    train = fold.train
    patients, outcomes = rows.patients.take(train), rows.outcomes.take(train)
    fitted = fit_risk_model(patients, outcomes, rows.cohort.card, FEATURES, model, CPU, seed=fold.number)
    return fitted.predict_incidence(rows.patients.take(fold.test), times_days).values


def fingerprint(model: ModelConfig) -> str:
    """Changes with the configuration and with the code that fits it: predictions kept under another are not used."""
    digest = hashlib.sha256(model.model_dump_json().encode())
    read: set[Path] = {ROOT / "training" / "fit.py"}
    for name in ("features.encoder", *_fitted_by(model)):
        _with_imports(name, read)
    if any(isinstance(one, InContextConfig) for one in single_models(model)):
        read.add(SHIPPED)
    for path in sorted(read):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _fitted_by(model: ModelConfig) -> set[str]:
    """Modules of `training` that fit a model; its settings are in its configuration."""
    if isinstance(model, MixtureConfig):
        return {"training.models.mixture", "training.out_of_fold.stacking"}.union(*map(_fitted_by, model.members))
    return {FITTED_BY[model.kind]}


def _with_imports(name: str, read: set[Path]) -> None:
    """Add a module, and all of `features` and `training` that it imports, but the configuration's own."""
    path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    if path in read or not path.exists():
        return
    read.add(path)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.startswith(("features.", "training.")) and not module.startswith("training.config"):
            _with_imports(module, read)
