"""Cohort folders with infections that come back, of which the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from counted import simulated_counts

ENDPOINT = """
name: infections
event: {name: infection, min_grade: 3}
competing: [{name: death}]
landmark_days: [0, 60]
horizons_days: [90, 180]
"""


def write_counted(folder: Path, *, effect: float, n: int = 240, seed: int = 0, provenance: str = "simulated") -> None:
    """Patients with two numbers of their own, the first of which multiplies their infections by e^effect an SD.

    Milder infections, which do not count, are among the events; ``endpoint.yaml`` is beside the tables.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    first, second = rng.normal(size=(2, n))
    events = simulated_counts(effect * first, seed)
    ids = np.array([f"P{i:04d}" for i in range(n)])
    year, site = 2015 + np.arange(n) % 6, np.array(["A", "B", "C"])[np.arange(n) % 3]
    columns = {"patient_id": ids, "follow_up_days": events.end_days, "first": first, "second": second}
    pd.DataFrame(columns | {"year": year, "site": site}).to_csv(folder / "patients.csv", index=False)
    died = np.flatnonzero(events.terminal)
    mild, on = rng.integers(n, size=n), rng.uniform(0, 200, n)
    mild, on = mild[on <= events.end_days[mild]], on[on <= events.end_days[mild]]
    tables = [
        pd.DataFrame({"patient_id": ids[events.row], "day": events.day, "event": "infection", "grade": 3}),
        pd.DataFrame({"patient_id": ids[died], "day": events.end_days[died], "event": "death", "grade": np.nan}),
        pd.DataFrame({"patient_id": ids[mild], "day": on, "event": "infection", "grade": 1}),
    ]
    pd.concat(tables).to_csv(folder / "events.csv", index=False)
    numbers = {name: {"kind": "numeric", "unit": "1"} for name in ("first", "second", "year")}
    card = {"title": "Counted infections", "citation": "none", "licence": "none", "provenance": provenance}
    text = yaml.safe_dump(card | {"variables": numbers})
    (folder / "cohort.yaml").write_text(text, encoding="utf-8")
    (folder / "endpoint.yaml").write_text(ENDPOINT, encoding="utf-8")
