"""Fits networks of every kind to eighty synthetic patients; the first process writes their risks.

torchrun --nproc-per-node 2 tests/training/fit_together.py RISKS.npz
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
sys.path.insert(0, str(Path(__file__).parents[3]))

from small_models import MODELS

from features.config import FeatureConfig
from features.patients import Patients
from tests.training.conftest import CARD, make_outcomes, make_ward
from training.config import ModelConfig, TrainerConfig
from training.fit import fit_risk_model
from training.fitting.companions import Companion
from training.loops.processes import leave, rank

TIMES = np.array([60.0, 180.0])
KINDS = ("network", "deephit", "attention", "set_transformer")


def cases() -> dict[str, tuple[Patients, ModelConfig, tuple[Companion, ...]]]:
    """Patients, model and companions: parts of a batch may be without a cell, or without a row of one endpoint."""
    ward = make_ward(0, 80)
    patients = ward.patients()
    few_cells = replace(ward, bags=tuple(bag for bag in ward.bags if bag[0] % 10 == 0)).patients()
    few = few_cells.take(np.arange(20))
    companion = Companion(few, make_outcomes(few, 1))
    short = {"max_epochs": 3, "batch_rows": 8}
    attention = MODELS["attention"].model_copy(update=short)
    together = MODELS["network"].model_copy(update={"max_epochs": 3, "batch_rows": 16})
    return {
        **{kind: (patients, MODELS[kind], ()) for kind in KINDS},
        "few cells": (few_cells, attention, ()),
        "few rows": (patients, together, (companion,)),
    }


def main(written: Path) -> None:
    risks = {}
    for name, (patients, config, companions) in cases().items():
        heard: list[tuple[int, float, float]] = []
        model = fit_risk_model(
            patients,
            make_outcomes(patients, 0),
            CARD,
            FeatureConfig(),
            config,
            TrainerConfig(accelerator="cpu", gradient_clip_norm=1.0),
            seed=3,
            listener=lambda *told, heard=heard: heard.append(told),
            companions=companions,
        )
        risks[name] = model.predict_incidence(patients, TIMES).values
        risks[f"{name} losses"] = np.array(heard)
    if rank() == 0:
        np.savez(written, **risks)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
