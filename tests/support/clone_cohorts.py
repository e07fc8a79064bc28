"""Cohort folders with clones whose course is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

CARD = """format: sequela-cohort/1
title: Clones made for tests
citation: none
licence: none
provenance: {provenance}
variables: {{age: {{kind: numeric, unit: a}}}}
"""


def write(folder: Path, clones: pd.DataFrame, samples: pd.DataFrame, provenance: str = "simulated") -> Path:
    folder.mkdir()
    (folder / "cohort.yaml").write_text(CARD.format(provenance=provenance), "utf-8")
    ids = sorted(set(samples["patient_id"]))
    pd.DataFrame({"patient_id": ids, "follow_up_days": 900, "age": 60}).to_csv(folder / "patients.csv", index=False)
    samples.to_csv(folder / "samples.csv", index=False)
    clones.to_csv(folder / "clones.csv", index=False)
    return folder


def made(rng: np.random.Generator, growing: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Six patients with three samples each; in one of them a clone near an oncogene grows, if any does."""
    samples, clones = [], []
    for patient in range(6):
        shares = rng.dirichlet(np.full(60, 2.0))
        for number, day in enumerate((28, 180, 365)):
            now = shares.copy()
            if growing and patient == 3:
                now[0] = (0.01, 0.12, 0.5)[number]
                now[1:] *= (1 - now[0]) / now[1:].sum()
            sample = f"p{patient}-{day}"
            samples.append((sample, f"p{patient}", day, "blood"))
            for clone, n in enumerate(rng.multinomial(600, now)):
                if n:
                    clones.append((sample, "integration", f"site{clone}", n, int(clone == 0)))
    columns = ["sample_id", "locus", "clone", "abundance", "near_oncogene"]
    sampled = pd.DataFrame(samples, columns=["sample_id", "patient_id", "day", "material"])
    return pd.DataFrame(clones, columns=columns), sampled
