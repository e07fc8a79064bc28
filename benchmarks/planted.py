"""Simulated patients in whom a rare population of cells carries the risk, alone or together with age, or not at all.

In half of the patients, a share of the cells of the product, of any type, expresses eight markers that other cells
express a little and each patient at a level of his own: neither labels nor pseudobulks show it well. Five laboratory
values, those of CAR-HEMATOTOX, tell a second, independent part of the risk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import Bags, CellBag
from features.cells.summary import CellSummary, summarise
from features.outcomes import Outcomes
from features.patients import Measurements, Patients, Samples
from features.schema import CellsCard, CohortCard, Variable

Effect = Literal["alone", "with age", "nothing"]
N_GENES, N_MARKERS, N_CELLS = 100, 8, 400
SHARE, LOG_HAZARD_RATIO = 0.01, 2.0
UNITS = {"platelets": "10*9/L", "anc": "10*9/L", "haemoglobin": "g/dL", "crp": "mg/dL", "ferritin": "ng/mL"}
CARD = CohortCard(
    title="A planted population",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={name: Variable(kind="numeric", unit=unit) for name, unit in {"age": "a", **UNITS}.items()},
    cells=CellsCard(),
)


@dataclass(frozen=True, slots=True)
class Cohort:
    """Simulated patients and what is true of them."""

    patients: Patients
    outcomes: Outcomes
    log_hazard: NDArray[np.float64]
    """(patients,): of relapse, against the mean."""
    carries: NDArray[np.bool_]
    """(patients,): who has the population."""


def planted(n: int, seed: int, effect: Effect = "alone", *, n_cells: int = N_CELLS, share: float = SHARE) -> Cohort:
    """Simulate `n` patients; `effect` tells where the population acts on relapse: always, by age, or nowhere."""
    rng = np.random.default_rng([seed, n])
    carries, age, illness = rng.random(n) < 0.5, rng.normal(0, 1, n), rng.normal(0, 1, n)
    types = _types(rng)
    bags = [_bag(rng, types, n_cells, share if one else 0.0) for one in carries]
    names = np.array([f"p{i}" for i in range(n)], dtype=object)
    summary = CellSummary.concatenate([summarise(bag, counts=True) for bag in bags])
    material = np.full(n, "infusion_product", dtype=object)
    samples = Samples(np.arange(n + 1), names, np.full(n, -1.0), material, summary, bags=Bags.of(bags))
    baseline = {"age": 60 + 10 * age} | _laboratory(illness, rng)
    acts = {"alone": np.ones(n), "with age": np.where(age > 0, 1.0, -1.0), "nothing": np.zeros(n)}[effect]
    log_hazard = LOG_HAZARD_RATIO * acts * (carries - 0.5) + 0.4 * age + 0.4 * illness
    latent = [rng.exponential(1 / (0.004 * np.exp(log_hazard))), rng.exponential(1000.0, n), rng.exponential(500.0, n)]
    days = np.column_stack(latent)
    outcomes = Outcomes(np.ceil(days.min(axis=1)), np.array([1, 2, 0])[days.argmin(axis=1)], ("relapse", "death"))
    patients = Patients(names, np.zeros(n), baseline, Measurements.empty(n), samples)
    return Cohort(patients, outcomes, log_hazard, carries)


def _laboratory(illness: NDArray[np.float64], rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """The inputs of CAR-HEMATOTOX, each of them half illness and half noise."""

    def value(median: float, spread: float) -> NDArray[np.float64]:
        noisy: NDArray[np.float64] = (illness + rng.normal(0, 1, len(illness))) / 2**0.5
        return median * np.exp(spread * noisy)

    return {
        "platelets": value(150.0, -0.5),
        "anc": value(2.0, -0.5),
        "haemoglobin": value(10.0, -0.15),
        "crp": value(2.0, 1.0),
        "ferritin": value(700.0, 1.0),
    }


def _types(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, genes): mean counts of three types of cells; the markers are the first genes, and alike in all."""
    base = rng.gamma(0.5, 1.0, N_GENES) + 0.05
    differs = rng.random((3, N_GENES)) < 0.15
    types: NDArray[np.float64] = base * np.exp(np.where(differs, rng.normal(0, 1.5, (3, N_GENES)), 0.0))
    types[:, :N_MARKERS] = 0.3
    return types


def _bag(rng: np.random.Generator, types: NDArray[np.float64], n_cells: int, share: float) -> CellBag:
    label = rng.choice(3, n_cells, p=rng.dirichlet([5, 5, 3]))
    mean = types[label] * np.exp(rng.normal(0, 0.3, N_GENES))
    if share:
        mean[rng.random(n_cells) < share, :N_MARKERS] = 4.0
    counts = rng.poisson(mean * rng.lognormal(0, 0.3, (n_cells, 1)))
    cell, gene = np.nonzero(counts)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=n_cells))]).astype(np.int64)
    genes = tuple(f"gene{i}" for i in range(N_GENES))
    return CellBag(genes, indptr, gene, counts[cell, gene].astype(float), np.array(["A", "B", "C"], object)[label])
