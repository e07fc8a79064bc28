"""Patients of whom everything is known: as the records of a request, and in the columnar form of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.cells.bag import Bags, CellBag
from features.cells.processing import CellProcessing, CellProcessor
from features.cells.summary import CellSummary, summarise
from features.config import FeatureConfig
from features.landmark import Thresholds
from features.patients import Clones, Events, Measurements, Patients, Samples, TextArray
from features.schema import CellsCard, CohortCard, Variable

Record = dict[str, Any]
"""What `features.request.PatientRecord` takes."""

CONSTRUCT = "CAR-CD19"
GENES = (
    *("PDCD1", "HAVCR2", "LAG3", "TIGIT", "CCR7", "SELL", "TCF7", "IL7R"),
    *("GZMB", "PRF1", "NKG7", "MKI67", "CD3E", "ACTB", "XIST", CONSTRUCT),
)
CELL_TYPES = ("CD4 T", "CD8 T", "NK")
MEDIAN = {"anc": 0.6, "creatinine": 80.0, "crp": 20.0, "ferritin": 500.0, "platelets": 60.0, "transgene_copies": 1000.0}
"""Of each measured variable."""
MEASURED = tuple(MEDIAN)
EVENTS = ("infection", "steroids", "transfusion")
VARIABLES = {
    "age": Variable(kind="numeric", unit="a", range=(0, 120)),
    "ldh": Variable(kind="numeric", unit="U/L", range=(0, 50_000)),
    "haemoglobin": Variable(kind="numeric", unit="g/dL", range=(0, 30)),
    "albumin": Variable(kind="numeric", unit="g/L", range=(0, 100)),
    "platelets_before": Variable(kind="numeric", unit="10*9/L", range=(0, 5000), analyte="platelets"),
    "crp_before": Variable(kind="numeric", unit="mg/L", range=(0, 5000), analyte="crp"),
    "stage": Variable(kind="ordinal", levels=("I", "II", "III", "IV")),
    "product": Variable(kind="categorical"),
    "anc": Variable(kind="numeric", unit="10*9/L", range=(0, 1000)),
    "creatinine": Variable(kind="numeric", unit="umol/L", range=(0, 5000)),
    "crp": Variable(kind="numeric", unit="mg/L", range=(0, 5000)),
    "ferritin": Variable(kind="numeric", unit="ug/L", range=(0, 1e6)),
    "platelets": Variable(kind="numeric", unit="10*9/L", range=(0, 5000)),
    "transgene_copies": Variable(kind="numeric", unit="{copies}/ug", range=(0, 1e7)),
}
CARD = CohortCard(
    title="t", citation="none", licence="CC0-1.0", provenance="simulated", variables=VARIABLES, cells=CellsCard()
)
CONFIG = FeatureConfig(
    statistics=("last", "age", "slope", "min", "max", "mean", "count", "auc", "auc_0_28", "cmax", "tmax"),
    thresholds={"anc": Thresholds(below=(0.5,)), "crp": Thresholds(below=(5.0,), above=(100.0,))},
    scores=("car_hematotox", "easix", "easix:log2", "m_easix"),
    grades=("icaht", "t_icaht"),
    inflamix=True,
    cells=("composition", "pseudobulk", "programs", "dispersion", "car_positive", "clonality", "density"),
    processing=CellProcessing(min_counts=3, transgene=(CONSTRUCT,)),
    variable_genes=9,
    pseudobulk_components=3,
)
"""Everything that a `FeatureConfig` can switch on."""


def cells(rng: np.random.Generator, *, types: Sequence[str] = CELL_TYPES, mean: float = 1.5) -> Record:
    """Raw counts of a few cells, as a sample's record holds them."""
    n = int(rng.integers(12, 25))
    level = rng.gamma(2.0, mean / 2.0, len(GENES))
    counts = rng.poisson(level, (n, len(GENES)))
    cell, gene = np.nonzero(counts)
    return {
        "genes": list(GENES),
        "indptr": [0, *np.cumsum(np.bincount(cell, minlength=n)).tolist()],
        "indices": gene.tolist(),
        "values": counts[cell, gene].astype(float).tolist(),
        "cell_types": rng.choice(np.array(types, dtype=object), n).tolist(),
    }


def clones(rng: np.random.Generator) -> list[Record]:
    """A few T-cell receptors and integration sites."""
    found: list[Record] = []
    for locus in ("integration", "tcr"):
        for i in range(int(rng.integers(1, 6))):
            near = bool(rng.random() < 0.3) if locus == "integration" else None
            abundance = float(rng.geometric(0.3))
            found.append({"locus": locus, "clone": f"c{i}", "abundance": abundance, "near_oncogene": near})
    return found


def sample(rng: np.random.Generator, day: float, material: str) -> Record:
    """A sample with cells and clones."""
    return {"day": day, "material": material, "clones": clones(rng), **cells(rng)}


def measurement(rng: np.random.Generator, day: float) -> Record:
    """One value of one of `MEASURED`."""
    name = str(rng.choice(list(MEDIAN)))
    return {"variable": name, "day": day, "value": MEDIAN[name] * float(rng.lognormal(0.0, 1.0))}


def event(rng: np.random.Generator, day: float) -> Record:
    """One of `EVENTS`, graded or not."""
    grade = int(rng.integers(1, 5)) if rng.random() < 0.7 else None
    return {"event": str(rng.choice(EVENTS)), "day": day, "grade": grade}


def record(rng: np.random.Generator, i: int) -> Record:
    """One patient, with a course that goes on after the landmark, and some gaps."""
    baseline: Record = {
        "age": float(rng.normal(60, 9)),
        "ldh": float(rng.lognormal(5.5, 0.5)),
        "haemoglobin": float(rng.normal(10, 1.5)),
        "albumin": float(rng.normal(38, 4)),
        "platelets_before": float(rng.lognormal(4.8, 0.6)),
        "crp_before": float(rng.lognormal(2.5, 1.0)),
        "stage": str(rng.choice(["I", "III", "IV"])),
        "product": str(rng.choice(["axi-cel", "liso-cel", "tisa-cel"])),
    }
    for name in ("age", "ldh", "stage", "product"):
        if rng.random() < 0.1:
            baseline[name] = None
    days = rng.integers(-12, 60, 24).astype(float)
    return {
        "patient_id": f"p{i:03d}",
        "landmark_day": float(rng.choice([0.0, 30.0])),
        "baseline": baseline,
        "measurements": [measurement(rng, float(day)) for day in days],
        "events": [event(rng, float(day)) for day in rng.integers(-20, 60, rng.integers(0, 5))],
        "samples": [
            sample(rng, -5.0, "infusion_product"),
            *(sample(rng, float(day), "blood") for day in sorted(rng.choice([-1, 14, 28, 45], 2, replace=False))),
        ],
    }


def records(seed: int, n: int) -> list[Record]:
    """Patients with everything."""
    rng = np.random.default_rng(seed)
    return [record(rng, i) for i in range(n)]


def patients(
    known: Sequence[Record],
    config: FeatureConfig = CONFIG,
    *,
    measured: Sequence[str] = MEASURED,
    events: Sequence[str] = EVENTS,
) -> Patients:
    """The columnar form, as a cohort gives it: its columns know nothing of what a model wants.

    Args:
        known: The patients.
        config: How cells are processed.
        measured: Names of all measured variables of the study.
        events: Names of all events of the study.
    """
    n = len(known)
    values = [(i, m) for i, record in enumerate(known) for m in record["measurements"]]
    happened = [(i, e) for i, record in enumerate(known) for e in record["events"]]
    baseline = {
        name: _column(variable, [record["baseline"].get(name) for record in known])
        for name, variable in VARIABLES.items()
        if name not in MEASURED
    }
    return Patients(
        _texts([record["patient_id"] for record in known]),
        np.array([record["landmark_day"] for record in known]),
        baseline,
        Measurements.from_columns(
            n,
            np.array([i for i, _ in values], dtype=np.int64),
            measured,
            np.array([list(measured).index(m["variable"]) for _, m in values], dtype=np.int64),
            np.array([m["day"] for _, m in values], dtype=float),
            np.array([m["value"] for _, m in values], dtype=float),
        ),
        _samples(known, config),
        Events.from_columns(
            n,
            np.array([i for i, _ in happened], dtype=np.int64),
            events,
            np.array([list(events).index(e["event"]) for _, e in happened], dtype=np.int64),
            np.array([e["day"] for _, e in happened], dtype=float),
            np.array([np.nan if e["grade"] is None else e["grade"] for _, e in happened], dtype=float),
        ),
    )


def bag_of(one: Record) -> CellBag:
    """The cells of a sample's record."""
    return CellBag(
        tuple(one["genes"]),
        np.array(one["indptr"], dtype=np.int64),
        np.array(one["indices"], dtype=np.int64),
        np.array(one["values"], dtype=float),
        _texts(one["cell_types"]),
    )


def _samples(known: Sequence[Record], config: FeatureConfig) -> Samples:
    taken = [(i, s) for i, record in enumerate(known) for s in sorted(record["samples"], key=lambda s: s["day"])]
    processor = CellProcessor(config.processing)
    done = [processor(bag_of(one)) for _, one in taken]
    found = [clone for _, one in taken for clone in one["clones"]]
    near = [np.nan if clone["near_oncogene"] is None else float(clone["near_oncogene"]) for clone in found]
    row = np.array([i for i, _ in taken], dtype=np.int64)
    return Samples(
        np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(known)))]),
        _texts([f"s{i}" for i in range(len(taken))]),
        np.array([one["day"] for _, one in taken]),
        _texts([one["material"] for _, one in taken]),
        CellSummary.concatenate([summarise(bag, counts=True, numbers=numbers) for bag, numbers in done]),
        Clones(
            np.concatenate([[0], np.cumsum([len(one["clones"]) for _, one in taken])]).astype(np.int64),
            _texts([clone["locus"] for clone in found]),
            _texts([clone["clone"] for clone in found]),
            np.array([clone["abundance"] for clone in found]),
            np.array(near),
        ),
        Bags.of([bag for bag, _ in done]),
    )


def _column(variable: Variable, values: Sequence[object]) -> Any:
    if variable.kind == "numeric":
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    return _texts(values)


def _texts(values: Sequence[object]) -> TextArray:
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column
