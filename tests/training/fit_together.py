"""Fits a network and an attention model to eighty synthetic patients; the first process writes their risks.

torchrun --nproc-per-node 2 tests/training/fit_together.py RISKS.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from small_models import MODELS

from features.config import FeatureConfig
from tests.training.conftest import CARD, make_outcomes, make_ward
from training.config import TrainerConfig
from training.fit import fit_risk_model
from training.processes import leave, rank

TIMES = np.array([60.0, 180.0])


def main(written: Path) -> None:
    patients = make_ward(0, 80).patients()
    outcomes = make_outcomes(patients, 0)
    risks = {}
    for kind in ("network", "deephit", "attention", "set_transformer"):
        heard: list[tuple[int, float, float]] = []
        model = fit_risk_model(
            patients,
            outcomes,
            CARD,
            FeatureConfig(),
            MODELS[kind],
            TrainerConfig(accelerator="cpu", gradient_clip_norm=1.0),
            seed=3,
            listener=lambda *told, heard=heard: heard.append(told),
        )
        risks[kind] = model.predict_incidence(patients, TIMES).values
        risks[f"{kind} losses"] = np.array(heard)
    if rank() == 0:
        np.savez(written, **risks)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
