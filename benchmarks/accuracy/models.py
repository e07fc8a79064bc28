"""Our models, as the configurations a user would write; nothing is tuned for any table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from benchmarks.accuracy.tables import FEATURES
from experiments.data import TrainingRows
from training.config import ModelConfig, TrainerConfig
from training.fit import fit_risk_model
from training.splits import Fold

CPU = TrainerConfig(accelerator="cpu")
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
        "mixture": {
            "kind": "mixture",
            "members": [{"kind": kind} for kind in ("cox", "network", "forest", "boosting")],
        },
    }.items()
}


def predict(model: ModelConfig, rows: TrainingRows, fold: Fold, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Incidences (test rows, causes, times); encoder and model are fitted on the training rows."""
    train = fold.train
    patients, outcomes = rows.patients.take(train), rows.outcomes.take(train)
    fitted = fit_risk_model(patients, outcomes, rows.cohort.card, FEATURES, model, CPU, seed=fold.number)
    return fitted.predict_incidence(rows.patients.take(fold.test), times_days).values


def fingerprint(model: ModelConfig) -> str:
    """Changes with the configuration and with the code that fits it: predictions kept under another are not used."""
    digest = hashlib.sha256(model.model_dump_json().encode())
    root = Path(__file__).parents[2]
    for path in sorted((*(root / "training").rglob("*.py"), root / "features" / "encoder.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
